"""Tensors on disk: safetensors alone, each name and shape accounted for."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from weft.errors import UserError, suggest
from weft.runs.folder import REQUEST, file_of
from weft.runs.foreign import PICKLE_ADVICE, explain, is_pickle

__all__ = ["MODEL", "load_tensors", "read_tensors", "save_tensors"]

MODEL = "model.safetensors"
INDEX = "model.safetensors.index.json"
ALIASES = "aliases"  # in a file's metadata: the names under which one tensor is known besides its own


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to one file; a tensor that has several names (tied weights) is written once."""
    own: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[tuple[object, ...], str] = {}
    memories: set[int] = set()
    for name, tensor in tensors.items():
        same = (tensor.device, tensor.dtype, tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and same in first:
            aliases[name] = first[same]
            continue
        first[same] = name
        flat = tensor.detach().cpu().contiguous()
        memory = flat.untyped_storage().data_ptr()
        # Two views of one memory cannot be written as such.
        own[name] = flat.clone() if memory in memories else flat
        memories.add(memory)
    try:
        save_file(own, path, metadata={ALIASES: json.dumps(aliases)} if aliases else None)
    except SafetensorError as error:
        raise OSError(f"{path.name}: {error}") from error


def load_tensors(path: Path, expected: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors of a model's folder, or of one file, which has just the `expected` names and shapes.

    A missing, unknown or misshapen one raises a UserError before anything large is read.
    """
    shapes = {name: (shape, file) for file in _files(path) for name, shape in _shapes(file).items()}
    _check_names(path, set(shapes), set(expected))
    for name, wanted in expected.items():
        shape, file = shapes[name]
        if shape != tuple(wanted):
            raise UserError(
                f"{file}: {name}: shape {list(shape)} where the model has {list(wanted)}: "
                "the weights belong to another configuration"
            )
    return read_tensors(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a model's folder, whole or in parts, or of one file, in memory of their own."""
    tensors: dict[str, Tensor] = {}
    for file in _files(path):
        with _open(file) as opened:
            # A copy: a tensor in the mapped file is aligned to 8 bytes, and some kernels round by alignment.
            own = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
            aliases = {alias: own[name] for alias, name in _aliases(opened, own.keys(), file).items()}
        tensors |= own | aliases
    return tensors


def _files(path: Path) -> list[Path]:
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


def _open(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except SafetensorError as error:
        raise UserError(f"{file}: the file is damaged, or is no safetensors ({error})") from error


def _aliases(opened: Any, names: Collection[str], file: Path) -> dict[str, str]:
    try:
        aliases: dict[str, str] = json.loads((opened.metadata() or {}).get(ALIASES, "{}"))
        known = set(aliases.values()) <= set(names)
    except (ValueError, RecursionError, TypeError, AttributeError) as error:
        raise UserError(f"{file}: the file is damaged: its aliases cannot be read") from error
    if not known:
        raise UserError(f"{file}: the file is damaged: an alias of a tensor that is not in it")
    return aliases


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    with _open(file) as opened:
        shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        return shapes | {alias: shapes[name] for alias, name in _aliases(opened, shapes, file).items()}


def _check_names(path: Path, found: set[str], expected: set[str]) -> None:
    missing, unknown = sorted(expected - found), sorted(found - expected)
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{path}: no tensor {missing[0]!r}{more}{suggest(missing[0], unknown)}")
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        instead = suggest(unknown[0], expected)
        raise UserError(f"{path}: tensor {unknown[0]!r}{more} that the model does not have{instead}")
