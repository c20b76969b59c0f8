"""Hugging Face's folders, without torch: JSON, and safetensors whole or in shards; never a pickle."""

import json
import secrets
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from weft.config import FolderConfig
from weft.errors import UserError

__all__ = [
    "Imported",
    "encode_json",
    "encode_weights",
    "read_json",
    "read_weights",
    "write_files",
    "write_tokenizer_json",
]

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


class Imported(NamedTuple):
    """A foreign folder in weft's terms: what the model is, its weights, and the tokenizer's files by name.

    `weights` has every name of the model's state, tied ones included, which are one array.
    """

    config: FolderConfig
    weights: dict[str, NDArray[np.float32]]
    tokenizer: dict[str, bytes]


_FLOATS = {"F32": np.float32, "F16": np.float16}


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; UserError where there is none."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path.parent}: no {path.name} in it") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(read, dict):
        raise UserError(f"{path}: holds no JSON object")
    return read


def write_tokenizer_json(folder: Path) -> str:
    """How a user comes to the one file that weft reads of any tokenizer, to be part of an error."""
    name = str(folder)
    return (
        "write a tokenizer.json once, with transformers: "
        f"AutoTokenizer.from_pretrained({name!r}).save_pretrained({name!r})"
    )


def encode_json(value: Mapping[str, Any]) -> bytes:
    """A JSON file's content as Hugging Face writes it: indented, keys sorted."""
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_weights(
    folder: Path, *, loader: str, without: Collection[str] = ()
) -> dict[str, NDArray[np.float32]]:
    """All weights of a folder but those left out, in float32, which holds float16 and bfloat16 exactly.

    Raises UserError for a pickle, with the way to convert it by `loader`, a class of transformers, and for weights that
    are damaged or not floats.
    """
    if (folder / WEIGHTS).is_file():
        return _read_file(folder / WEIGHTS, without)
    if (folder / INDEX).is_file():
        return _read_shards(folder, without)
    if any((folder / name).is_file() for name in PICKLES):
        raise UserError(
            f"{folder}: its weights are a pickle, which can run any code hidden in it, and weft reads none. "
            "Where you trust it, convert it once, with transformers: "
            f"{loader}.from_pretrained({str(folder)!r}).save_pretrained('NEW'); "
            "then put the tokenizer's files into NEW and import that"
        )
    raise UserError(f"{folder}: no {WEIGHTS} in it, nor {INDEX}")


def _read_shards(folder: Path, without: Collection[str]) -> dict[str, NDArray[np.float32]]:
    where = read_json(folder / INDEX).get("weight_map")
    if not isinstance(where, dict) or not all(isinstance(shard, str) for shard in where.values()):
        raise UserError(f"{folder / INDEX}: no map of weights to files under weight_map")
    weights: dict[str, NDArray[np.float32]] = {}
    for shard in sorted(set(where.values())):
        if shard != Path(shard).name:
            raise UserError(f"{folder / INDEX}: {shard!r} is not the plain name of a file")
        if not (folder / shard).is_file():
            raise UserError(f"{folder / shard}: missing, though {INDEX} names it")
        weights |= _read_file(folder / shard, without)
    if lost := sorted(set(where) - set(weights) - set(without)):
        raise UserError(f"{folder / INDEX}: names {lost[0]}, which no shard holds: download the folder again")
    return weights


def _read_file(path: Path, without: Collection[str]) -> dict[str, NDArray[np.float32]]:
    try:
        tensors: list[tuple[str, dict[str, Any]]] = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise UserError(f"{path}: damaged, or no safetensors: {error}") from error
    return {name: _float32(tensor, name=name, path=path) for name, tensor in tensors if name not in without}


def _float32(tensor: Mapping[str, Any], *, name: str, path: Path) -> NDArray[np.float32]:
    data, dtype, shape = tensor["data"], tensor["dtype"], tensor["shape"]
    if dtype == "BF16":  # the upper half of a float32, for which NumPy has no type
        high = np.frombuffer(data, dtype="<u2").astype(np.uint32)
        return (high << 16).view(np.float32).reshape(shape)
    if dtype not in _FLOATS:
        raise UserError(f"{path}: {name} is of type {dtype}: weft imports float32, float16 and bfloat16")
    return np.frombuffer(data, dtype=_FLOATS[dtype]).astype(np.float32).reshape(shape)


def encode_weights(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """A safetensors file's content, marked as Hugging Face wants it."""
    return save(
        {name: np.ascontiguousarray(value) for name, value in weights.items()}, metadata={"format": "pt"}
    )


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a new folder with these files, some of them in folders of their own, all of them or nothing.

    Raises UserError where the folder has something in it or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not an empty folder: give another --out")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = folder.parent / f".{folder.name}-{secrets.token_hex(4)}"
        aside.mkdir()
        try:
            for name, content in files.items():
                (aside / name).parent.mkdir(exist_ok=True)
                (aside / name).write_bytes(content)
            aside.rename(folder)
        except BaseException:
            shutil.rmtree(aside)
            raise
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error}); nothing was changed") from error
