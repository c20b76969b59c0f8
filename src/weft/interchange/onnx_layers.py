"""The bricks of `weft.nn` as ONNX operators: positions, norms, attention, feed-forward layers, blocks and stacks."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.config import BUCKETS, FARTHEST, HASH_FACTOR, HASH_PRIME, RMS_EPSILON, ModelConfig
from weft.families.positions import alibi_slopes, position_table, rotary_tables
from weft.interchange.onnx_graph import Graph, Value

__all__ = ["KeysValues", "Layers"]

Array = NDArray[Any]

HIDDEN = -1e30  # a score that leaves nothing


class KeysValues(NamedTuple):
    """Of what is attended to, (B, G, S, K) each."""

    keys: Value
    values: Value


class Layers:
    """The bricks of one model, its weights by weft's names, written into a graph."""

    def __init__(self, graph: Graph, config: ModelConfig, weights: Mapping[str, Array]) -> None:
        self.graph = graph
        self.config = config
        self.weights = weights
        self.groups = config.groups
        # Where several queries' heads share keys, they have an axis of their own: (B, G, H / G, T, K).
        self.shared = config.heads // self.groups > 1
        self.crossed: list[Value] = []
        """The weights (M, H, B / M · T, S) of each layer's cross-attention, once it is written."""

    def linear(self, x: Value, *names: str, scale: float = 1.0) -> Value:
        """One product for all linear layers that read the same: their outputs stand side by side. The first is scaled."""
        matrices = [self.weights[f"{name}.weight"] for name in names]
        biases = [self.weights.get(f"{name}.bias") for name in names]
        matrices[0] = matrices[0] * np.float32(scale)
        bias = None
        if any(each is not None for each in biases):
            filled = [
                np.zeros(len(matrix), np.float32) if each is None else each
                for matrix, each in zip(matrices, biases, strict=True)
            ]
            filled[0] = filled[0] * np.float32(scale)
            bias = np.concatenate(filled)
        return self.graph.linear(x, "+".join(names), np.concatenate(matrices), bias)

    def embed(self, ids: Value, name: str) -> Value:
        """One vector for each token, (B, T, D)."""
        vectors = self.graph.look_up(f"{name}.tokens", self.weights[f"{name}.tokens.weight"], ids)
        if not self.config.scale_embedding:
            return vectors
        return self.graph.Mul(vectors, self.graph.constant(math.sqrt(self.config.width)))

    def output(self, states: Value, name: str) -> Value:
        """Scores over the vocabulary; a matrix that is tied to an embedding is there once (Press and Wolf 2017)."""
        side = "target_embedding" if self.config.architecture == "seq2seq" else "embedding"
        table = name if self.config.tie == "none" else f"{side}.tokens"
        bias = self.weights.get(f"{name}.bias")
        return self.graph.linear(states, table, self.weights[f"{name}.weight"], bias)

    def ngrams(self, ids: Value, before: Value | None, name: str) -> tuple[Value, Value]:
        """The vectors (B, T, D) of the n-grams that end with each token, and the last tokens, which the next call takes as
        `before` (B, N - 1): each token's id and 1, 0 where there is none."""
        g, ngrams = self.graph, self.config.ngrams
        assert ngrams is not None
        past, length = ngrams.longest - 1, g.length(ids, 1)
        numbers = g.Add(ids, g.whole(1))
        numbers = (
            g.Pad(numbers, g.whole(0, past, 0, 0)) if before is None else g.Concat(before, numbers, axis=1)
        )
        hashed, found = self._slice(numbers, g.whole(past), g.Add(length, g.whole(past)), axis=1), []
        for back in range(1, ngrams.longest):
            at = past - back
            tokens = self._slice(numbers, g.whole(at), g.Add(length, g.whole(at)), axis=1)
            hashed = g.Mod(g.Add(g.Mul(hashed, g.whole(HASH_FACTOR)), tokens), g.whole(HASH_PRIME))
            row = g.Add(g.Mod(hashed, g.whole(ngrams.rows)), g.whole((back - 1) * ngrams.rows))
            found.append(g.Unsqueeze(row, g.whole(2)))
        vectors = g.look_up(name, self.weights[f"{name}.table.weight"], g.Concat(*found, axis=2))
        after = self._slice(numbers, length, g.Add(length, g.whole(past)), axis=1)
        return g.ReduceSum(vectors, g.whole(2), keepdims=0), after

    def norm(self, x: Value, name: str) -> Value:
        """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019) over the last axis."""
        g, config = self.graph, self.config
        weight, bias = self.weights.get(f"{name}.weight"), self.weights.get(f"{name}.bias")
        if weight is None:
            weight = np.ones(config.width, np.float32)
        if config.norm == "rms":
            return self._rms(x, name, weight)
        scale = g.weight(f"{name}.weight", weight)
        shift = g.weight(f"{name}.bias", np.zeros_like(weight) if bias is None else bias)
        return g.LayerNormalization(x, scale, shift, axis=-1, epsilon=config.epsilon)

    def _rms(self, x: Value, name: str, weight: Array) -> Value:
        g = self.graph
        mean = g.ReduceMean(g.Pow(x, g.constant(2.0)), axes=[-1], keepdims=1)
        root = g.Sqrt(g.Add(mean, g.constant(self.config.norm_epsilon or RMS_EPSILON)))
        return g.Mul(g.Div(x, root), g.weight(f"{name}.weight", weight))

    def feed_forward(self, x: Value, name: str) -> Value:
        """down(f(up(x))), or gated: down(f(gate(x)) · up(x)) (Shazeer 2020)."""
        g = self.graph
        if not self.config.gated:
            return self.linear(self.activation(self.linear(x, f"{name}.up")), f"{name}.down")
        gate, up = g.Split(self.linear(x, f"{name}.gate", f"{name}.up"), axis=-1, outputs=2)
        return self.linear(g.Mul(self.activation(gate), up), f"{name}.down")

    def activation(self, x: Value) -> Value:
        g = self.graph
        match self.config.activation:
            case "relu":
                return g.Relu(x)
            case "relu_squared":
                positive = g.Relu(x)
                return g.Mul(positive, positive)
            case "silu":
                return g.Mul(x, g.Sigmoid(x))
            case "gelu":
                inner = g.Add(g.Erf(g.Div(x, g.constant(math.sqrt(2)))), g.constant(1.0))
            case "gelu_tanh":
                cubed = g.Mul(g.constant(0.044715), g.Pow(x, g.constant(3.0)))
                angle = g.Mul(g.constant(math.sqrt(2 / math.pi)), g.Add(x, cubed))
                inner = g.Add(g.Tanh(angle), g.constant(1.0))
        return g.Mul(g.Mul(x, inner), g.constant(0.5))

    def encoder(self, x: Value, keep: Value, name: str = "encoder") -> Value:
        """Embedded tokens (B, T, D) to hidden states; `keep` (B, T) is True at real tokens."""
        g, config = self.graph, self.config
        places = self._range(g.whole(0), g.length(x, 1))
        hidden = self.hide(g.Unsqueeze(keep, g.whole(*([1, 2, 3] if self.shared else [1, 2]))))
        bias = self._position_bias(places, places, name, causal=False)
        seen = hidden if bias is None else g.Add(bias, hidden)
        near = seen
        if config.window is not None:
            distance = g.Abs(g.Sub(g.Unsqueeze(places, g.whole(1)), places))
            near = g.Add(seen, self.hide(g.Less(distance, g.whole(config.window))))
        x = self._begin(x, g.whole(0), name)
        for number in range(config.encoder_layers):
            far = config.window is None or (config.global_every and number % config.global_every == 0)
            x, _ = self._block(x, f"{name}.blocks.{number}", bias=seen if far else near)
        return self.norm(x, f"{name}.norm") if config.norm_place == "before" else x

    def decoder(
        self,
        x: Value,
        past: list[KeysValues],
        memory: list[KeysValues],
        *,
        source_keep: Value | None = None,
        name: str = "decoder",
    ) -> tuple[Value, list[KeysValues]]:
        """Embedded new tokens (B, T, D) to hidden states, and each layer's keys and values with theirs. Each row of the
        memory serves B / M neighbouring rows."""
        g, config = self.graph, self.config
        begin = g.length(past[0].keys, 2)
        end = g.Add(begin, g.length(x, 1))
        queries, keys = self._range(begin, end), self._range(g.whole(0), end)
        column = g.Unsqueeze(queries, g.whole(1))
        visible = g.LessOrEqual(keys, column)  # (T, S)
        bias = self.hide(visible)
        near = bias
        if config.window is not None:
            inside = g.Less(g.Sub(column, keys), g.whole(config.window))
            near = self.hide(g.And(visible, inside))
        if (positions := self._position_bias(queries, keys, name, causal=True)) is not None:
            bias, near = g.Add(positions, bias), g.Add(positions, near)
        seen = None
        if source_keep is not None:
            seen = self.hide(g.Unsqueeze(source_keep, g.whole(*([1, 2, 3] if self.shared else [1, 2]))))
        x = self._begin(x, begin, name)
        present = []
        for number in range(config.decoder_layers):
            far = config.window is None or (config.global_every and number % config.global_every == 0)
            x, after = self._block(
                x,
                f"{name}.blocks.{number}",
                bias=bias if far else near,
                begin=begin,
                past=past[number],
                memory=memory[number] if memory else None,
                seen=seen,
            )
            present.append(after)
        return (self.norm(x, f"{name}.norm") if config.norm_place == "before" else x), present

    def memory(self, states: Value, number: int) -> KeysValues:
        """The keys and values of a source that a decoder's layer attends to."""
        name = f"decoder.blocks.{number}.cross"
        keys, values = self.graph.Split(
            self.linear(states, f"{name}.key", f"{name}.value"), axis=-1, outputs=2
        )
        keys = self._head_norm(self._grouped(keys), f"{name}.key_norm")
        return KeysValues(keys, self._grouped(values))

    def hide(self, visible: Value) -> Value:
        """0 where something may be seen, and a score that leaves nothing elsewhere."""
        g = self.graph
        return g.Where(visible, g.constant(0.0), g.constant(HIDDEN))

    def _block(
        self,
        x: Value,
        name: str,
        *,
        bias: Value,
        begin: Value | None = None,
        past: KeysValues | None = None,
        memory: KeysValues | None = None,
        seen: Value | None = None,
    ) -> tuple[Value, KeysValues]:
        g = self.graph

        y, present = self._self_attention(
            self._before(x, f"{name}.attention_residual"),
            f"{name}.attention",
            bias=bias,
            begin=begin,
            past=past,
        )
        x = self._after(g.Add(x, y), f"{name}.attention_residual")
        if memory is not None:
            y, weights = self._cross_attention(
                self._before(x, f"{name}.cross_residual"), memory, seen, f"{name}.cross"
            )
            self.crossed.append(weights)
            x = self._after(g.Add(x, y), f"{name}.cross_residual")
        y = self.feed_forward(self._before(x, f"{name}.feed_forward_residual"), f"{name}.feed_forward")
        return self._after(g.Add(x, y), f"{name}.feed_forward_residual"), present

    def _before(self, x: Value, name: str) -> Value:
        return self.norm(x, f"{name}.before") if self.config.norm_place == "before" else x

    def _after(self, x: Value, name: str) -> Value:
        return x if self.config.norm_place == "before" else self.norm(x, f"{name}.after")

    def _self_attention(
        self, x: Value, name: str, *, bias: Value, begin: Value | None, past: KeysValues | None
    ) -> tuple[Value, KeysValues]:
        g, config = self.graph, self.config
        sizes = [heads * config.head_width for heads in (config.heads, self.groups, self.groups)]
        projected = self.linear(
            x, f"{name}.query", f"{name}.key", f"{name}.value", scale=self._scale(config.query_key_norm)
        )
        queries, keys, values = g.Split(projected, g.whole(*sizes), axis=-1, outputs=3)
        queries = self._head_norm(self._split(queries), f"{name}.query_norm", scaled=True)
        keys, values = self._head_norm(self._grouped(keys), f"{name}.key_norm"), self._grouped(values)
        if config.position == "rotary":
            tables = self._rotary(begin or g.whole(0), g.length(x, 1))
            queries, keys = self._rotate(queries, *tables), self._rotate(keys, *tables)
        if past is not None:
            keys, values = g.Concat(past.keys, keys, axis=2), g.Concat(past.values, values, axis=2)
        mixed, _ = self._attend(queries, KeysValues(keys, values), bias)
        return self.linear(self._joined(mixed), f"{name}.output"), KeysValues(keys, values)

    def _cross_attention(
        self, x: Value, memory: KeysValues, seen: Value | None, name: str
    ) -> tuple[Value, Value]:
        """A source's rows ask together: (B, T) of them as (M, B / M · T). With what they take comes what they look at,
        (M, H, B / M · T, S)."""
        g, config = self.graph, self.config
        projected = self.linear(x, f"{name}.query", scale=self._scale(config.query_key_norm))
        inner = g.whole(-1, config.heads * config.head_width)
        together = g.Reshape(projected, g.Concat(g.length(memory.keys, 0), inner, axis=0))
        queries = self._head_norm(self._split(together), f"{name}.query_norm", scaled=True)
        mixed, weights = self._attend(queries, memory, seen)
        if self.shared:
            by_head = g.whole(0, config.heads, -1)
            weights = g.Reshape(weights, g.Concat(by_head, g.length(memory.keys, 2), axis=0))
        apart = g.Concat(g.Shape(x, start=0, end=2), g.whole(config.heads * config.head_width), axis=0)
        return self.linear(g.Reshape(self._joined(mixed), apart), f"{name}.output"), weights

    def _attend(self, queries: Value, memory: KeysValues, bias: Value | None) -> tuple[Value, Value]:
        """softmax(q kᵀ + bias) v of queries that are scaled, and its weights (Vaswani et al. 2017, section 3.2.1)."""
        g = self.graph
        keys, values = memory
        if self.shared:
            keys, values = (g.Unsqueeze(each, g.whole(2)) for each in memory)
        turned = g.Transpose(keys, perm=[0, 1, 2, 4, 3] if self.shared else [0, 1, 3, 2])
        scores = g.MatMul(queries, turned)
        weights = g.Softmax(scores if bias is None else g.Add(scores, bias), axis=-1)
        return g.MatMul(weights, values), weights

    def _scale(self, normed: bool) -> float:
        """What the query's projection is multiplied with: where a norm follows, that has the scale in its weights."""
        return 1.0 if normed else 1 / math.sqrt(self.config.head_width)

    def _split(self, x: Value) -> Value:
        """Queries by their heads: (B, T, H · K) to (B, H, T, K), or to (B, G, H / G, T, K)."""
        g, config = self.graph, self.config
        if not self.shared:
            return g.Transpose(
                g.Reshape(x, g.whole(0, 0, config.heads, config.head_width)), perm=[0, 2, 1, 3]
            )
        shape = g.whole(0, 0, self.groups, config.heads // self.groups, config.head_width)
        return g.Transpose(g.Reshape(x, shape), perm=[0, 2, 3, 1, 4])

    def _grouped(self, x: Value) -> Value:
        """Keys or values by their heads: (B, T, G · K) to (B, G, T, K)."""
        g = self.graph
        shape = g.whole(0, 0, self.groups, self.config.head_width)
        return g.Transpose(g.Reshape(x, shape), perm=[0, 2, 1, 3])

    def _joined(self, x: Value) -> Value:
        """Back from `_split`."""
        g, config = self.graph, self.config
        x = g.Transpose(x, perm=[0, 3, 1, 2, 4] if self.shared else [0, 2, 1, 3])
        return g.Reshape(x, g.whole(0, 0, config.heads * config.head_width))

    def _head_norm(self, x: Value, name: str, *, scaled: bool = False) -> Value:
        if not self.config.query_key_norm:
            return x
        scale = 1 / math.sqrt(self.config.head_width) if scaled else 1.0
        return self._rms(x, name, self.weights[f"{name}.weight"] * np.float32(scale))

    def _begin(self, x: Value, begin: Value, name: str) -> Value:
        """What the first block reads: positions are added, from `begin` on."""
        g, config = self.graph, self.config
        end = g.Add(begin, g.length(x, 1))
        if config.position in ("sinusoidal", "sinusoidal_halves"):
            table = position_table(config.position, width=config.width, length=config.max_length)
            x = g.Add(x, self._slice(g.weight("positions", table), begin, end, axis=0))
        elif config.position == "learned":
            table = self.weights[f"{name}.position.table.weight"][config.position_offset :]
            x = g.Add(x, self._slice(g.weight(f"{name}.positions", table), begin, end, axis=0))
        return self.norm(x, f"{name}.embedding_norm") if config.embedding_norm else x

    def _rotary(self, begin: Value, length: Value) -> tuple[Value, Value]:
        g = self.graph
        cosines, sines = (
            self._slice(g.weight(f"rotary.{name}", table), begin, g.Add(begin, length), axis=0)
            for name, table in zip(("cosines", "sines"), rotary_tables(self.config), strict=True)
        )
        return cosines, sines

    def _rotate(self, x: Value, cosines: Value, sines: Value) -> Value:
        g = self.graph
        first, second = g.Split(x, axis=-1, outputs=2)
        return g.Add(g.Mul(x, cosines), g.Mul(g.Concat(second, first, axis=-1), sines))

    def _position_bias(self, queries: Value, keys: Value, name: str, *, causal: bool) -> Value | None:
        """What a scheme adds to the scores, (H, T, S) or (G, H / G, T, S), for the positions (T,) and (S,)."""
        g, config = self.graph, self.config
        heads = (self.groups, config.heads // self.groups) if self.shared else (config.heads,)
        if config.position == "alibi":
            ahead = g.Sub(keys, g.Unsqueeze(queries, g.whole(1)))
            distance = g.cast(g.Abs(ahead), "float32")
            return g.Mul(g.weight("slopes", -alibi_slopes(config.heads).reshape(*heads, 1, 1)), distance)
        if config.position != "t5":
            return None
        ahead = g.Sub(keys, g.Unsqueeze(queries, g.whole(1)))  # (T, S)
        buckets = BUCKETS if causal else BUCKETS // 2
        exact = buckets // 2
        distance = g.Max(g.Neg(ahead), g.whole(0)) if causal else g.Abs(ahead)
        near = g.cast(g.Max(distance, g.whole(1)), "float32")
        far = g.Div(g.Log(g.Div(near, g.constant(exact))), g.constant(math.log(FARTHEST / exact)))
        far = g.Mul(far, g.constant(buckets - exact))
        far = g.Min(g.Add(g.cast(far, "int64"), g.whole(exact)), g.whole(buckets - 1))
        bucket = g.Where(g.Less(distance, g.whole(exact)), distance, far)
        if not causal:
            after = g.cast(g.Greater(ahead, g.whole(0)), "int64")
            bucket = g.Add(bucket, g.Mul(after, g.whole(buckets)))
        table = self.weights[f"{name}.position.table.weight"].reshape(BUCKETS, *heads)
        vectors = g.Gather(g.weight(f"{name}.buckets", table), bucket)  # (T, S, *heads)
        return g.Transpose(vectors, perm=[*range(2, 2 + len(heads)), 0, 1])

    def _range(self, begin: Value, end: Value) -> Value:
        g = self.graph
        return g.Range(g.Squeeze(begin, g.whole(0)), g.Squeeze(end, g.whole(0)), g.constant(1, np.int64))

    def _slice(self, x: Value, begin: Value, end: Value, *, axis: int) -> Value:
        return self.graph.Slice(x, begin, end, self.graph.whole(axis))
