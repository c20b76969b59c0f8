"""A model's folder and the model: its configuration, its weights and its tokenizer."""

from pathlib import Path
from typing import NamedTuple, cast

import tokenizers
import torch

from weft.config import ClassifierConfig, FolderConfig, GeneratorConfig, ReaderConfig
from weft.description import read_description
from weft.errors import UserError
from weft.families.decoder_tokenizer import NamedBackend
from weft.families.marian_tokenizer import MarianTokenizer
from weft.models.decoder import Decoder
from weft.models.encoder import Encoder
from weft.models.ngrams import NGRAMS, Ngrams
from weft.models.seq2seq import Seq2Seq
from weft.models.transformer_xl import TransformerXL
from weft.runs.folder import read_manifest, verify
from weft.runs.tensors import load_tensors
from weft.text.tokenizer import Tokenizer

__all__ = [
    "CONFIG",
    "Saved",
    "load_ngrams",
    "load_saved",
    "make_model",
    "read_config",
    "shapes",
    "tokenizer_class",
]

CONFIG = "config.json"  # what the model is


class Saved(NamedTuple):
    """What a folder holds, loaded."""

    config: FolderConfig
    model: Seq2Seq | Encoder | Decoder | TransformerXL
    tokenizer: Tokenizer | MarianTokenizer


def read_config(folder: Path) -> FolderConfig:
    """What the model in a folder is; its files' names and sizes are checked."""
    if (folder / "model.bin").is_file():
        raise UserError(
            f"{folder}: a model for CTranslate2, which weft translate, evaluate, info and import take"
        )
    read_manifest(folder)
    path = folder / CONFIG
    if not path.exists():
        raise UserError(f"{folder}: the run has not got as far as a model: weft train --resume {folder}")
    return read_description(path)


def make_model(config: FolderConfig) -> Seq2Seq | Encoder | Decoder | TransformerXL:
    """The model that a configuration describes, its weights drawn anew."""
    if config.model.architecture == "decoder":
        return Decoder(config.model)
    if config.model.architecture == "transformer-xl":
        return TransformerXL(config.model)
    if not isinstance(config, ReaderConfig):
        return Seq2Seq(config.model)
    return Encoder(config.model, heads=config.heads, labels=config.outputs, pooling=config.pooling)


def shapes(model: torch.nn.Module) -> dict[str, torch.Size]:
    """The names and shapes of a model's weights."""
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def load_saved(folder: Path) -> Saved:
    """The model in a folder, in float32 on the CPU; every file is checked against its checksum."""
    verify(folder)
    config = read_config(folder)
    model = make_model(config)
    model.load_state_dict(load_tensors(folder, shapes(model)))
    if (folder / "source.spm").exists():
        return Saved(config, model.eval(), MarianTokenizer.load(folder))
    return Saved(config, model.eval(), tokenizer_class(config).load(folder))


def load_ngrams(folder: Path, config: FolderConfig) -> Ngrams | None:
    """The linear model that votes beside a classifier's network, where there is one."""
    if not isinstance(config, ClassifierConfig) or not config.ngrams:
        return None
    return Ngrams.load(folder / NGRAMS, rows=config.ngrams, labels=len(config.labels))


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
