"""Folders of weft's in Keras, and the models in them: each variable under the name that PyTorch's model has for it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from weft.config import ModelConfig, ReaderConfig
from weft.description import read_description
from weft.errors import UserError, suggest
from weft.keras.adaptive import AdaptiveEmbedding
from weft.keras.attention import MultiHeadAttention
from weft.keras.layers import Embedding, FeedForward, Output, RMSNorm
from weft.keras.models import Decoder, Encoder, Labels, MaskedHead, Model, Seq2Seq
from weft.keras.ngram_embedding import NgramEmbedding
from weft.keras.pointer import PastPointer
from weft.keras.positions import LearnedPositions, Positions, RelativeBuckets
from weft.keras.relative_attention import RelativeAttention
from weft.keras.stack import Residuals, Stack
from weft.keras.transformer_xl import TransformerXL
from weft.runs.folder import verify, write_folder
from weft.runs.tensor_files import ALIASES, MODEL, read_arrays

__all__ = ["load", "make_model", "save_model", "variables"]

CONFIG = "config.json"


class Named(NamedTuple):
    """A variable, PyTorch's name for it, and whether it lies there the other way round, (out, in)."""

    name: str
    variable: Any
    turned: bool


def make_model(config: ModelConfig, **heads: Any) -> Model:
    """The model of a configuration, built: all its weights are there."""
    kinds: dict[str, Any] = {
        "seq2seq": Seq2Seq,
        "decoder": Decoder,
        "encoder": Encoder,
        "transformer-xl": TransformerXL,
    }
    model: Model = kinds[config.architecture](config, **heads)
    model.build()
    return model


def variables(model: Model) -> list[Named]:
    """All variables of a model, each once or more: tied weights have several names."""
    return list(_of_model(model))


def load(folder: str | Path) -> Model:
    """The model in a folder of weft's, ready to be called, trained on, or saved.

    Raises UserError where the folder is damaged or its model is one that the layers here cannot be.
    """
    path = Path(folder)
    verify(path)
    config = read_description(path / CONFIG)
    heads: dict[str, Any] = {}
    if isinstance(config, ReaderConfig):
        heads = {"heads": tuple(config.heads), "labels": config.outputs, "pooling": config.pooling}
    model = make_model(config.model, **heads)
    fill(model, read_arrays(path))
    return model


def save_model(model: Model, folder: str | Path, *, like: str | Path) -> None:
    """Write a model as a folder that PyTorch's side loads, with the tokenizer and the description of the folder `like`."""
    source = Path(like)
    config = read_description(source / CONFIG)
    if config.model != model.config:
        raise UserError(f"{source}: the model in it has another shape than the one to be saved")
    names, there = {each.name for each in variables(model)}, set(read_arrays(source))
    if names != there:
        different = sorted(names ^ there)
        raise UserError(
            f"{source}: the model in it has other weights than the one to be saved: {different[0]}"
        )
    own: dict[str, NDArray[Any]] = {}
    aliases: dict[str, str] = {}
    first: dict[int, str] = {}
    for name, variable, turned in variables(model):
        if id(variable) in first:
            aliases[name] = first[id(variable)]
            continue
        first[id(variable)] = name
        value = np.asarray(variable.numpy(), np.float32)
        own[name] = np.ascontiguousarray(value.T if turned else value)
    kept = ("tokenizer*.json", "*.spm", "vocab.json", "ngrams.safetensors", CONFIG)
    files: dict[str, Any] = {path.name: path.read_bytes() for name in kept for path in source.glob(name)}
    files[MODEL] = save(own, metadata={ALIASES: json.dumps(aliases)} if aliases else None)
    write_folder(Path(folder), kind=config.task, files=files)


def fill(model: Model, weights: dict[str, NDArray[Any]]) -> None:
    """Give a model its weights, by PyTorch's names; a UserError where one is missing, unknown or misshapen."""
    named = variables(model)
    expected = {each.name for each in named}
    missing, unknown = sorted(expected - set(weights)), sorted(set(weights) - expected)
    if missing:
        raise UserError(f"no tensor {missing[0]!r}{suggest(missing[0], unknown)}")
    if unknown:
        raise UserError(f"tensor {unknown[0]!r} that the model does not have{suggest(unknown[0], expected)}")
    for name, variable, turned in named:
        value = weights[name].T if turned else weights[name]
        if tuple(value.shape) != tuple(variable.shape):
            raise UserError(f"{name}: shape {list(value.shape)} where the model has {list(variable.shape)}")
        variable.assign(value)


def _of_model(model: Model) -> Iterator[Named]:
    if isinstance(model, Encoder):
        yield from _of(model.embedding, "embedding")
        if model.segments is not None:
            yield Named("segments.weight", model.segments.embeddings, False)
        yield from _of(model.encoder, "encoder")
        for name, head in model.heads.items():
            yield from _of_head(model, name, head)
        return
    if isinstance(model, TransformerXL):
        yield from _of_recurrent(model)
        return
    if isinstance(model, Seq2Seq):
        yield from _of(model.source_embedding, "source_embedding")
        yield from _of(model.target_embedding, "target_embedding")
        for name in ("source_ngrams", "target_ngrams"):
            yield from _of(getattr(model, name), name)
        yield from _of(model.encoder, "encoder")
        embedding = model.target_embedding
    else:
        assert isinstance(model, Decoder)
        yield from _of(model.embedding, "embedding")
        yield from _of(model.ngrams, "ngrams")
        embedding = model.embedding
    yield from _of(model.decoder, "decoder")
    yield from _of_output(model.readout, "output", embedding)


def _of_recurrent(model: TransformerXL) -> Iterator[Named]:
    yield from _of(model.embedding, "embedding")
    yield from _of(model.ngrams, "ngrams")
    yield from _of(model.pointer, "pointer")
    for number, (block, biases) in enumerate(zip(model.blocks, model.biases, strict=True)):
        yield from _of(block, f"blocks.{number}")
        yield Named(f"blocks.{number}.attention.content_bias", biases.content, False)
        yield Named(f"blocks.{number}.attention.distance_bias", biases.distance, False)
    readout = model.readout
    parts = {
        "weights": readout.tables_beside(model.embedding),
        "gates": readout.gates,
        "biases": readout.biases,
        "gate_biases": readout.gate_biases,
        "projections": readout.projections_beside(model.embedding),
    }
    for name, each in parts.items():
        yield from (Named(f"output.{name}.{number}", variable, False) for number, variable in enumerate(each))


def _of_head(model: Encoder, name: str, head: Any) -> Iterator[Named]:
    prefix = f"heads.{name}"
    if isinstance(head, MaskedHead):
        yield from _of(head.dense, f"{prefix}.dense")
        yield from _of(head.norm, f"{prefix}.norm")
        yield from _of_output(head.readout, f"{prefix}.output", model.embedding)
    elif isinstance(head, Labels):
        yield from _of(head.scores, f"{prefix}.output")
    else:
        yield from _of(head, f"{prefix}.dense")


def _of_output(output: Output, prefix: str, embedding: Embedding) -> Iterator[Named]:
    if output.matrix is not None:
        yield from _of(output.matrix, prefix)
        return
    yield Named(f"{prefix}.weight", embedding.tokens.embeddings, False)
    if output.bias is not None:
        yield Named(f"{prefix}.bias", output.bias, False)


def _of(layer: Any, prefix: str) -> Iterator[Named]:
    """The variables of a layer, by the names of its counterpart's."""
    match layer:
        case Embedding():
            yield Named(f"{prefix}.tokens.weight", layer.tokens.embeddings, False)
        case AdaptiveEmbedding():
            for number, table in enumerate(layer.tables):
                yield Named(f"{prefix}.tables.{number}.weight", table.embeddings, False)
            for number, projection in enumerate(layer.projections):
                yield Named(f"{prefix}.projections.{number}", projection, False)
        case NgramEmbedding():
            yield Named(f"{prefix}.table.weight", layer.table.embeddings, False)
        case RMSNorm():
            if layer.weight is not None:
                yield Named(f"{prefix}.weight", layer.weight, False)
        case LearnedPositions() | RelativeBuckets():
            yield Named(f"{prefix}.table.weight", layer.table, False)
        case Positions() | None:
            pass
        case MultiHeadAttention():
            for name in ("query", "key", "value", "query_norm", "key_norm"):
                if (part := getattr(layer, name)) is not None:
                    yield from _of(part, f"{prefix}.{name}")
            yield from _of(layer.out, f"{prefix}.output")
        case RelativeAttention():
            for name in ("query", "key", "value", "distance"):
                yield from _of(getattr(layer, name), f"{prefix}.{name}")
            yield from _of(layer.out, f"{prefix}.output")
        case PastPointer():
            for name in ("query", "key", "gate"):
                yield from _of(getattr(layer, name), f"{prefix}.{name}")
        case FeedForward():
            for name in ("up", "gate", "down"):
                if (part := getattr(layer, name)) is not None:
                    yield from _of(part, f"{prefix}.{name}")
        case Residuals():
            yield from _of(layer.attention, f"{prefix}.attention")
            if "cross" in layer.norms:
                yield from _of(layer.cross_attention, f"{prefix}.cross")
            yield from _of(layer.feed_forward, f"{prefix}.feed_forward")
            for name, norm in layer.norms.items():
                yield from _of(norm, f"{prefix}.{name}_residual.{'before' if layer.norm_first else 'after'}")
        case Stack():
            yield from _of(layer.position, f"{prefix}.position")
            for number, block in enumerate(layer.blocks):
                yield from _of(block, f"{prefix}.blocks.{number}")
            for name in ("embedding_norm", "norm"):
                if (part := getattr(layer, name)) is not None:
                    yield from _of(part, f"{prefix}.{name}")
        case _ if hasattr(layer, "kernel"):
            yield Named(f"{prefix}.weight", layer.kernel, True)
            if layer.bias is not None:
                yield Named(f"{prefix}.bias", layer.bias, False)
        case _:  # LayerNormalization
            for name, variable in (("weight", layer.gamma), ("bias", layer.beta)):
                if variable is not None:
                    yield Named(f"{prefix}.{name}", variable, False)
