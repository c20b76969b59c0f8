"""Where tensors lie on disk, without torch: whole or in parts, a tensor of several names written once."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from weft.errors import UserError, suggest
from weft.runs.folder import REQUEST, file_of
from weft.runs.foreign import PICKLE_ADVICE, explain, is_pickle

__all__ = [
    "ALIASES",
    "MODEL",
    "check_tensors",
    "count_numbers",
    "open_tensors",
    "read_aliases",
    "read_arrays",
    "read_shapes",
    "tensor_files",
]

MODEL = "model.safetensors"
INDEX = "model.safetensors.index.json"
ALIASES = "aliases"  # in a file's metadata: the names under which one tensor is known besides its own


def tensor_files(path: Path) -> list[Path]:
    """The safetensors files of a folder, or the one file that `path` is."""
    if path.is_file():
        if is_pickle(path):
            raise UserError(f"{path}: a Python pickle: {PICKLE_ADVICE}")
        return [path]
    whole, index = file_of(path, MODEL), path / INDEX
    if whole.is_file():
        return [whole]
    if not index.is_file():
        raise UserError(_no_model(path))
    parts = _parts(index)
    for part in parts:
        if not (path / part).is_file():
            raise UserError(f"{path / part}: missing, though {INDEX} names it")
    return [path / part for part in parts]


def _no_model(path: Path) -> str:
    if not path.is_dir():
        return explain(path)
    if (path / "checkpoints").is_dir() or (path / REQUEST).is_file():
        return f"{path}: this run has no model yet: go on with it: weft train --resume {path}"
    pickles = sorted(file.name for file in path.iterdir() if is_pickle(file))
    if pickles:
        return f"{path}: no {MODEL}, and {pickles[0]} is a Python pickle: {PICKLE_ADVICE}"
    return f"{path}: no {MODEL}: not a folder of a model"


def _parts(index: Path) -> list[str]:
    try:
        parts = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{index}: the file is damaged: no map from tensors to files in it") from error
    for part in parts:
        if not isinstance(part, str) or part != Path(part).name:
            raise UserError(f"{index}: {part!r} is not the plain name of a file")
    return parts


def open_tensors(file: Path, *, framework: str = "np") -> Any:
    """A safetensors file, opened; a UserError where it is none."""
    try:
        return safe_open(file, framework=framework)
    except SafetensorError as error:
        raise UserError(f"{file}: the file is damaged, or is no safetensors ({error})") from error


def read_aliases(opened: Any, names: Collection[str], file: Path) -> dict[str, str]:
    """Further names of tensors in an opened file, each with the one that is written."""
    try:
        aliases: dict[str, str] = json.loads((opened.metadata() or {}).get(ALIASES, "{}"))
        known = set(aliases.values()) <= set(names)
    except (ValueError, RecursionError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: the file is damaged: its aliases cannot be read") from error
    if not known:
        raise UserError(f"{file}: the file is damaged: an alias of a tensor that is not in it")
    return aliases


def read_shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a file's tensors, further names of the same ones included."""
    with open_tensors(file) as opened:
        shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        return shapes | {alias: shapes[name] for alias, name in read_aliases(opened, shapes, file).items()}


def count_numbers(file: Path) -> int:
    """How many numbers a file's tensors hold, each tensor once."""
    with open_tensors(file) as opened:
        return sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118


def check_tensors(path: Path, expected: Mapping[str, Sequence[int]]) -> None:
    """Raise a UserError where a model's folder, or a file, has not just the `expected` names and shapes."""
    shapes = {name: (shape, file) for file in tensor_files(path) for name, shape in read_shapes(file).items()}
    _check_names(path, set(shapes), set(expected))
    for name, wanted in expected.items():
        shape, file = shapes[name]
        if shape != tuple(wanted):
            raise UserError(
                f"{file}: {name}: shape {list(shape)} where the model has {list(wanted)}: "
                "the weights belong to another configuration"
            )


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """All tensors of a model's folder, or of one file, as arrays of numpy, each by all its names."""
    found: dict[str, NDArray[Any]] = {}
    for file in tensor_files(path):
        with open_tensors(file) as opened:
            own = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            aliases = read_aliases(opened, own, file)
        found |= own | {alias: own[name] for alias, name in aliases.items()}
    return found


def _check_names(path: Path, found: set[str], expected: set[str]) -> None:
    missing, unknown = sorted(expected - found), sorted(found - expected)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{path}: no tensor {missing[0]!r}{more}{suggest(missing[0], unknown)}")
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        instead = suggest(unknown[0], expected)
        raise UserError(f"{path}: tensor {unknown[0]!r}{more} that the model does not have{instead}")
