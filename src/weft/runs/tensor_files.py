"""Where tensors lie on disk, without torch: whole or in parts, a tensor of several names written once."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from weft.errors import UserError
from weft.runs.folder import REQUEST, file_of
from weft.runs.foreign import PICKLE_ADVICE, explain, is_pickle

__all__ = ["ALIASES", "MODEL", "open_tensors", "read_aliases", "read_shapes", "tensor_files"]

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


def open_tensors(file: Path, *, framework: str = "pt") -> Any:
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
