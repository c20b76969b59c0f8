"""The state of an optimizer, or any nest of tensors and plain values, as named tensors and JSON."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue
from torch import Tensor

from weft.errors import UserError

__all__ = ["flatten_state", "unflatten_state"]


def flatten_state(state: object) -> tuple[dict[str, Tensor], JsonValue]:
    """Take a nest of dicts, lists, tuples, tensors and plain values apart: its tensors, and the rest as JSON.

    JSON has neither tuples, nor numbers as keys, nor infinities: an object with a single key, which names the
    type, stands for each of these, and for each dict and tensor. Another type raises a TypeError.
    """
    tensors: dict[str, Tensor] = {}
    return tensors, _flatten(state, "state", tensors)


def unflatten_state(tensors: Mapping[str, Tensor], plain: JsonValue) -> Any:
    """Put together what `flatten_state` took apart; a UserError where the two do not belong together."""
    try:
        return _unflatten(plain, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"the saved state is damaged: {error}") from error


def _flatten(value: object, name: str, tensors: dict[str, Tensor]) -> JsonValue:
    match value:
        case Tensor():
            while name in tensors:  # a key with a dot in it may spell the name of another place
                name += "'"
            tensors[name] = value
            return {"tensor": name}
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else {"float": str(value)}
        case list():
            return [_flatten(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]
        case tuple():
            return {"tuple": [_flatten(item, f"{name}.{i}", tensors) for i, item in enumerate(value)]}
        case Mapping():
            if not all(type(key) in (str, int) for key in value):
                raise TypeError(f"{name}: keys must be strings or integers")
            return {"dict": [[key, _flatten(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    raise TypeError(f"{name}: {type(value).__name__} cannot be saved")


def _unflatten(plain: JsonValue, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(plain, list):
        return [_unflatten(item, tensors) for item in plain]
    if not isinstance(plain, dict):
        return plain
    match plain:
        case {"tensor": str(name)}:
            return tensors[name]
        case {"float": str(number)}:
            return float(number)
        case {"tuple": list(items)}:
            return tuple(_unflatten(item, tensors) for item in items)
        case {"dict": list(pairs)}:
            keyed = [pair for pair in pairs if isinstance(pair, list)]
            return {key: _unflatten(item, tensors) for key, item in keyed}
    raise ValueError(f"no type is called {next(iter(plain), '')!r}")
