"""The models of `weft.models` as graphs of ONNX: what goes in, what comes out, by which names."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.config import NOWHERE, FolderConfig, ModelConfig, ReaderConfig
from weft.interchange.onnx_graph import Graph, Value
from weft.interchange.onnx_layers import KeysValues, Layers

__all__ = ["DECODER", "ENCODER", "MODEL", "make_graphs", "obstacles"]

MODEL, ENCODER, DECODER = "model.onnx", "encoder.onnx", "decoder.onnx"
"""An encoder or a decoder alone; the two halves of an encoder-decoder."""


def obstacles(config: ModelConfig) -> list[str]:
    """What of a model has no graph here, in words; nothing where all of it has."""
    return [] if config.recurrence is None else ["recurrence (a memory that is carried along)"]


def make_graphs(
    folder: FolderConfig, weights: Mapping[str, NDArray[Any]], *, int8: bool = False
) -> dict[str, bytes]:
    """The files of a model, by name. Batches and lengths are free in all of them.

    An encoder takes `ids` (B, T), and `segments` where it has such, and gives `states` (B, T, D) and what its head says. A
    decoder takes new `ids`, the `past.*` that the call before gave as `present.*` (of length 0 at first; `past.tokens`
    zeros), and `scored`, how many of the last tokens it is to give `logits` after. An encoder-decoder's first half gives
    the `memory.*` that the second half takes, with the source's ids, and says beside them what they look at,
    `attention.*`; each source serves as many neighbouring rows as there are for it.
    """
    config = folder.model
    if config.architecture == "encoder":
        assert isinstance(folder, ReaderConfig)
        return {MODEL: _reader(Graph("encoder", int8=int8), folder, weights)}
    if config.architecture == "decoder":
        return {MODEL: _decoder(Graph("decoder", int8=int8), config, weights)}
    return {
        ENCODER: _source(Graph("encoder", int8=int8), config, weights),
        DECODER: _decoder(Graph("decoder", int8=int8), config, weights),
    }


def _reader(g: Graph, folder: ReaderConfig, weights: Mapping[str, NDArray[Any]]) -> bytes:
    config = folder.model
    layers = Layers(g, config, weights)
    ids = g.input("ids", "int64", ("B", "T"))
    x = layers.embed(ids, "embedding")
    if config.segments:
        segments = g.input("segments", "int64", ("B", "T"))
        x = g.Add(x, g.look_up("segments.weight", weights["segments.weight"], segments))
    keep = g.Not(g.Equal(ids, g.whole(config.special.pad)))
    states = layers.encoder(x, keep)
    g.output("states", states, ("B", "T", config.width))
    heads = set(folder.heads)
    if "classify" in heads:
        vector = _pooled(g, states, keep, pooling=folder.pooling)
        if "pooler" in heads:
            vector = g.Tanh(layers.linear(vector, "heads.pooler.dense"))
        g.output("classify", layers.linear(vector, "heads.classify.output"), ("B", "L"))
    for name in ("tag", "answer"):
        if name in heads:
            g.output(name, layers.linear(states, f"heads.{name}.output"), ("B", "T", "L"))
    if "masked" in heads:
        places = g.input("places", "int64", ("M", 2))
        hidden = layers.activation(layers.linear(g.GatherND(states, places), "heads.masked.dense"))
        hidden = layers.norm(hidden, "heads.masked.norm")
        g.output("masked", layers.output(hidden, "heads.masked.output"), ("M", config.vocabulary))
    return g.serialize()


def _pooled(g: Graph, states: Value, keep: Value, *, pooling: str) -> Value:
    """One vector for each row (B, D): the first token's, or the mean of all real ones."""
    if pooling == "first":
        return g.Gather(states, g.constant(0, np.int64), axis=1)
    real = g.Unsqueeze(g.cast(keep, "float32"), g.whole(2))
    total = g.ReduceSum(g.Mul(states, real), g.whole(1), keepdims=0)
    return g.Div(total, g.ReduceSum(real, g.whole(1), keepdims=0))


def _source(g: Graph, config: ModelConfig, weights: Mapping[str, NDArray[Any]]) -> bytes:
    layers = Layers(g, config, weights)
    source = g.input("source", "int64", ("M", "S"))
    x = layers.embed(source, "source_embedding")
    if config.knows_ngrams:
        x = g.Add(x, layers.ngrams(source, None, "source_ngrams")[0])
    states = layers.encoder(x, g.Not(g.Equal(source, g.whole(config.special.pad))))
    for number in range(config.decoder_layers):
        for name, value in layers.memory(states, number)._asdict().items():
            g.output(f"memory.{number}.{name}", value, _cached(config, "M", "S"))
    if config.pointer:
        g.output("memory.pointer", layers.linear(states, "pointer.key"), ("M", "S", config.head_width))
    return g.serialize()


def _decoder(g: Graph, config: ModelConfig, weights: Mapping[str, NDArray[Any]]) -> bytes:
    layers = Layers(g, config, weights)
    crosses = config.architecture == "seq2seq"
    ids = g.input("ids", "int64", ("B", "T"))
    scored = g.input("scored", "int64", (1,))
    past = [_inputs(g, config, f"past.{number}", "B", "P") for number in range(config.decoder_layers)]
    memory, source = [], ""
    if crosses:
        source = g.input("source", "int64", ("M", "S"))
        memory = [_inputs(g, config, f"memory.{number}", "M", "S") for number in range(config.decoder_layers)]
    x = layers.embed(ids, "target_embedding" if crosses else "embedding")
    if config.knows_ngrams:
        assert config.ngrams is not None
        width = config.ngrams.longest - 1
        before = g.input("past.tokens", "int64", ("B", width))
        vectors, after = layers.ngrams(ids, before, "target_ngrams" if crosses else "ngrams")
        x = g.Add(x, vectors)
        g.output("present.tokens", after, ("B", width), dtype="int64")
    keep = g.Not(g.Equal(source, g.whole(config.special.pad))) if crosses else None
    states, present = layers.decoder(x, past, memory, source_keep=keep)
    for number, each in enumerate(present):
        for name, value in each._asdict().items():
            g.output(f"present.{number}.{name}", value, _cached(config, "B", "C"))
    for number, looks in enumerate(layers.crossed):
        g.output(f"attention.{number}", looks, ("M", config.heads, "R", "S"))
    last = g.Slice(states, g.Neg(scored), g.whole(np.iinfo(np.int64).max), g.whole(1))
    logits = layers.output(last, "output")
    if config.pointer:
        assert keep is not None
        logits = _copying(layers, last, logits, source=source, keep=keep)
    g.output("logits", logits, ("B", "N", config.vocabulary))
    return g.serialize()


def _copying(layers: Layers, states: Value, logits: Value, *, source: Value, keep: Value) -> Value:
    """Logarithms of the probabilities of all tokens, which may be copied from the source (See et al. 2017, section 2.2)."""
    g, config = layers.graph, layers.config
    keys = g.input("memory.pointer", "float32", ("M", "S", config.head_width))
    queries = layers.linear(states, "pointer.query", scale=config.head_width**-0.5)  # (B, N, K)
    rows = g.Concat(g.length(keys, 0), g.whole(-1, config.head_width), axis=0)
    scores = g.MatMul(g.Reshape(queries, rows), g.Transpose(keys, perm=[0, 2, 1]))  # (M, B / M · N, S)
    places = g.Softmax(g.Add(scores, layers.hide(g.Unsqueeze(keep, g.whole(1)))), axis=-1)
    tokens = g.Expand(g.Unsqueeze(source, g.whole(1)), g.Shape(places))
    vocabulary = g.Concat(g.Shape(places, end=2), g.whole(config.vocabulary), axis=0)
    none = g.Expand(g.constant(0.0), vocabulary)
    copied = g.Reshape(g.ScatterElements(none, tokens, places, axis=2, reduction="add"), g.Shape(logits))
    gate = layers.linear(states, "pointer.gate")  # (B, N, 1)
    written = g.Mul(g.Sigmoid(g.Neg(gate)), g.Softmax(logits, axis=-1))
    mixed = g.Add(written, g.Mul(g.Sigmoid(gate), copied))
    return g.Log(g.Max(mixed, g.constant(NOWHERE)))


def _inputs(g: Graph, config: ModelConfig, name: str, rows: str, length: str) -> KeysValues:
    shape = _cached(config, rows, length)
    return KeysValues(g.input(f"{name}.keys", "float32", shape), g.input(f"{name}.values", "float32", shape))


def _cached(config: ModelConfig, rows: str, length: str) -> tuple[int | str, ...]:
    return rows, config.groups, length, config.head_width
