"""Reading CTranslate2's `model.bin`, which its own library writes and does not give back."""

import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.errors import UserError

__all__ = ["Contents", "read_model"]

Array = NDArray[Any]

VERSIONS = range(2, 7)  # of the binary layout
TYPED, ALIASED = 4, 3  # since when variables tell their types, and some are but names of others
_TYPES = ("f4", "i1", "i2", "i4", "f2", "bf16")  # in the order of its enumeration
_OLD_TYPES = {4: "f4", 2: "i2", 1: "i1"}
_SCALE = "_scale"  # of a quantised weight, beside it


class Contents(NamedTuple):
    """The specification's name, and its variables by theirs; weights are in float32."""

    specification: str
    variables: dict[str, Array]


def read_model(path: Path) -> Contents:
    """All of a model.bin. Weights in fewer bits are multiplied out, and what is held once under two names comes twice.

    Raises UserError where the file is missing, damaged or of another version.
    """
    try:
        content = memoryview(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    reader = _Reader(content)
    try:
        version = reader.number("I")
        if version not in VERSIONS:
            raise UserError(
                f"{path}: no model.bin of a version that weft reads (2 to 6): convert the model again"
            )
        name, _ = reader.text(), reader.number("I")  # and the specification's revision
        held = {reader.text(): reader.array(typed=version >= TYPED) for _ in range(reader.number("I"))}
        whole = {each: _whole(held, each) for each in held if not _is_scale(held, each)}
        aliases = reader.number("I") if version >= ALIASED else 0
        whole |= {reader.text(): whole[reader.text()] for _ in range(aliases)}
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise UserError(f"{path}: damaged: it ends too soon, or is no model.bin") from error
    return Contents(name, whole)


def _is_scale(held: dict[str, Array], name: str) -> bool:
    return name.endswith(_SCALE) and name.removesuffix(_SCALE) in held


def _whole(held: dict[str, Array], name: str) -> Array:
    value, scale = held[name], held.get(name + _SCALE)
    if scale is not None and value.dtype in (np.int8, np.int16):
        by_row = scale.reshape(-1, *[1] * (value.ndim - 1))
        return value.astype(np.float32) / by_row
    return value.astype(np.float32) if value.dtype == np.float16 else value


class _Reader:
    def __init__(self, content: memoryview) -> None:
        self.content = content
        self.place = 0

    def number(self, kind: str) -> int:
        (value,) = struct.unpack_from(f"<{kind}", self.content, self.place)
        self.place += struct.calcsize(kind)
        return int(value)

    def text(self) -> str:
        """A string after its length, which counts the zero at its end."""
        return bytes(self._take(self.number("H"))[:-1]).decode()

    def array(self, *, typed: bool) -> Array:
        """What follows a name: its shape, its type, or in old files the size of its numbers, and these."""
        shape = [self.number("I") for _ in range(self.number("B"))]
        code, size = self.number("B"), self.number("I")
        kind = _TYPES[code] if typed else _OLD_TYPES[code]
        content = self._take(size if typed else size * code)
        if kind == "bf16":  # the upper half of a float32, for which NumPy has no type
            return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
        return np.frombuffer(content, f"<{kind}").reshape(shape)

    def _take(self, size: int) -> memoryview:
        taken = self.content[self.place : self.place + size]
        if len(taken) < size:
            raise ValueError("the content ends too soon")
        self.place += size
        return taken
