"""Tensors on disk: safetensors alone, each name and shape accounted for."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from weft.runs.tensor_files import (
    ALIASES,
    MODEL,
    check_tensors,
    open_tensors,
    read_aliases,
    tensor_files,
)

__all__ = ["MODEL", "load_tensors", "read_tensors", "save_tensors"]


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
    check_tensors(path, expected)
    return read_tensors(path)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a model's folder, whole or in parts, or of one file, in memory of their own."""
    tensors: dict[str, Tensor] = {}
    for file in tensor_files(path):
        with open_tensors(file, framework="pt") as opened:
            # A copy: a tensor in the mapped file is aligned to 8 bytes, and some kernels round by alignment.
            own = {name: opened.get_tensor(name).clone() for name in opened.keys()}  # noqa: SIM118
            aliases = {alias: own[name] for alias, name in read_aliases(opened, own.keys(), file).items()}
        tensors |= own | aliases
    return tensors
