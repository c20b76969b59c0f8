"""What a folder's model is, and its tokenizer, without torch."""

import json
from pathlib import Path
from typing import cast

import tokenizers

from weft.config import FOLDERS, FolderConfig, GeneratorConfig
from weft.errors import UserError
from weft.families.decoder_tokenizer import NamedBackend
from weft.families.marian_tokenizer import MarianTokenizer
from weft.overrides import validate
from weft.runs.folder import read_manifest
from weft.runs.manifest import DamagedError
from weft.text.tokenizer import Tokenizer

__all__ = [
    "CONFIG",
    "DESCRIPTION",
    "RUN",
    "library_of",
    "open_tokenizer",
    "read_config",
    "read_description",
    "tokenizer_class",
]

CONFIG = "config.json"  # what the model is
DESCRIPTION = "weft.json"  # the same, in a folder of another layout
RUN = "run.json"  # what came of a run's request: the resolved configuration, which alone reproduces the run
ELSEWHERE = {"model.bin": "CTranslate2", "model.onnx": "ONNX Runtime", "decoder.onnx": "ONNX Runtime"}


def read_description(path: Path) -> FolderConfig:
    """The description of a model in a JSON file; a UserError where there is none that this weft knows."""
    try:
        described = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: missing: it says what the model is, and stands in each folder that weft exports"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: the file is damaged: it is not JSON ({error})") from error
    if not isinstance(described, dict):
        raise DamagedError(f"{path}: the file is damaged: it holds no JSON object")
    if str(described.get("task")) not in FOLDERS:
        raise UserError(
            f"{path}: a model for {described.get('task')!r}, which this weft does not know: update weft"
        )
    try:
        return validate(FOLDERS[described["task"]], described)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def library_of(folder: Path) -> str | None:
    """The library that a folder's model was exported for; None for weft's own."""
    return next((library for name, library in ELSEWHERE.items() if (folder / name).is_file()), None)


def read_config(folder: Path) -> FolderConfig:
    """What the model in a folder is; its files' names and sizes are checked."""
    if (library := library_of(folder)) is not None:
        raise UserError(
            f"{folder}: a model for {library}, which is used as it is: here one of weft's own is needed"
        )
    read_manifest(folder)
    path = folder / CONFIG
    if not path.exists():
        raise UserError(f"{folder}: the run has not got as far as a model: weft train --resume {folder}")
    return read_description(path)


def tokenizer_class(config: FolderConfig) -> type[Tokenizer]:
    """How a model's tokenizer is read: a published decoder's special tokens have whatever names, and it tells their ids."""
    if not isinstance(config, GeneratorConfig):
        return Tokenizer
    special = config.model.special

    class Named(Tokenizer):
        """A tokenizer whose special tokens are found by weft's names."""

        def __init__(self, backend: tokenizers.Tokenizer) -> None:
            super().__init__(cast(tokenizers.Tokenizer, NamedBackend(backend, special)))

    return Named


def open_tokenizer(folder: Path, config: FolderConfig) -> Tokenizer | MarianTokenizer:
    """The tokenizer beside a model."""
    if (folder / "source.spm").exists():
        return MarianTokenizer.load(folder)
    return tokenizer_class(config).load(folder)
