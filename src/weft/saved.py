"""A model's folder and the model: its configuration, its weights and its tokenizer."""

from pathlib import Path
from typing import NamedTuple

import torch

from weft.config import FolderConfig, ReaderConfig
from weft.description import open_tokenizer, read_config
from weft.families.marian_tokenizer import MarianTokenizer
from weft.models.decoder import Decoder
from weft.models.encoder import Encoder
from weft.models.seq2seq import Seq2Seq
from weft.models.transformer_xl import TransformerXL
from weft.runs.folder import verify
from weft.runs.tensors import load_tensors
from weft.text.tokenizer import Tokenizer

__all__ = ["Saved", "load_saved", "make_model", "shapes"]


class Saved(NamedTuple):
    """What a folder holds, loaded."""

    config: FolderConfig
    model: Seq2Seq | Encoder | Decoder | TransformerXL
    tokenizer: Tokenizer | MarianTokenizer


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
    return Saved(config, model.eval(), open_tokenizer(folder, config))
