"""Multi-head attention: self or cross, causal or not, with grouped heads; one layer for every model."""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from weft.config import RMS_EPSILON
from weft.keras.layers import Layer, RMSNorm, arguments, linear, register
from weft.keras.positions import Positions

__all__ = ["Cache", "Caches", "MultiHeadAttention", "attend", "joined", "merge", "split"]

HIDDEN = -6e4  # a score that leaves nothing, in float16 too


class Cache(NamedTuple):
    """One layer's keys and values so far, in space for C tokens, (B, G, C, K): `length` of them hold something."""

    keys: Any
    values: Any
    length: Any


class Caches(NamedTuple):
    """Those of a decoder's layers, and the last P tokens that were read, (B, P), with which n-grams of the next ones may
    begin; -1 stands where there are none."""

    layers: list[Cache]
    tokens: Any

    def select(self, rows: Any) -> "Caches":
        """What is kept of these rows, in this order."""
        layers = [
            Cache(ops.take(cache.keys, rows, axis=0), ops.take(cache.values, rows, axis=0), cache.length)
            for cache in self.layers
        ]
        return Caches(layers, ops.take(self.tokens, rows, axis=0))

    def after(self, ids: Any, layers: list[Cache]) -> "Caches":
        """Those that have the new tokens (B, T) in them, which `layers` have already."""
        every = ops.concatenate([self.tokens, ops.cast(ids, self.tokens.dtype)], axis=1)
        return Caches(layers, every[:, ops.shape(ids)[1] :])


@register
class MultiHeadAttention(Layer):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2), with grouped keys and values (Ainslie et al. 2023).

    Called as Keras's own layer of this name: `layer(x)` attends to `x` itself, `layer(x, memory)` to a memory.
    `attention_mask` is True where a query may look, of a shape that broadcasts to (B, T, S) or (B, H, T, S); a query that
    may see nothing gets zeros.
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        *,
        width: int | None = None,
        num_kv_heads: int | None = None,
        bias: bool = True,
        query_key_value_bias: bool | None = None,
        query_key_norm: bool = False,
        norm_epsilon: float | None = None,
        dropout: float = 0.0,
        zero_output: bool = False,
        initialisation: str = "xavier",
        **kwargs: Any,
    ) -> None:
        super().__init__(arguments(locals()), **kwargs)
        self.num_heads, self.key_dim = num_heads, key_dim
        self.groups = num_kv_heads or num_heads
        made: dict[str, Any] = {
            "bias": bias if query_key_value_bias is None else query_key_value_bias,
            "begin": initialisation,
            "dtype": self.dtype_policy,
        }
        self.query = linear(num_heads * key_dim, **made, name="query")
        self.key = linear(self.groups * key_dim, **made, name="key")
        self.value = linear(self.groups * key_dim, **made, name="value")
        self.query_norm = self.key_norm = None
        if query_key_norm:
            epsilon = norm_epsilon or RMS_EPSILON
            self.query_norm = RMSNorm(epsilon=epsilon, name="query_norm", dtype=self.dtype_policy)
            self.key_norm = RMSNorm(epsilon=epsilon, name="key_norm", dtype=self.dtype_policy)
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.out: Any = None  # `output` means something else to Keras

    def build(self, query_shape: Any, value_shape: Any = None) -> None:
        width = self.settings["width"] or query_shape[-1]
        begin = "zeros" if self.settings["zero_output"] else self.settings["initialisation"]
        bias, dtype = self.settings["bias"], self.dtype_policy
        self.out = linear(width, bias=bias, begin=begin, name="output", dtype=dtype)
        self.query.build(query_shape)
        for layer in (self.key, self.value):
            layer.build(value_shape or query_shape)
        self.out.build((*query_shape[:-1], self.num_heads * self.key_dim))
        for norm in (self.query_norm, self.key_norm):
            if norm is not None:
                norm.build((None, None, None, self.key_dim))

    def call(
        self,
        query: Any,
        value: Any = None,
        mask: Any = None,
        value_mask: Any = None,
        *,
        attention_mask: Any = None,
        use_causal_mask: bool = False,
        position: Positions | None = None,
        bias: Any = None,
        cache: Cache | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """(B, T, D), and with `return_attention_scores` the weights (B, H, T, S) beside it.

        `mask` and `value_mask` (B, _), of `query` and `value`, are those that Keras hands on, True at real tokens. With
        `cache`, `query` holds the new tokens alone, and the cache with them in it comes beside the output.
        """
        begin = 0 if cache is None else cache.length
        keys, values = self.keys_and_values(query if value is None else value)
        queries = _normed(split(self.query(query), self.num_heads), self.query_norm)
        if position is not None:
            queries, keys = position.rotate(queries, begin), position.rotate(keys, begin)
        if cache is not None:
            cache = _extend(cache, keys, values)
            keys, values = cache.keys, cache.values
        allowed = joined(attention_mask, _causal(queries, keys, begin) if use_causal_mask else None)
        real = mask if value is None else value_mask
        if real is not None and cache is None:
            allowed = joined(real[:, None, None, :], allowed)
        out, weights = self.attend(queries, keys, values, mask=allowed, bias=bias, training=training)
        found = (out, weights) if return_attention_scores else out
        return found if cache is None else (out, cache)

    def compute_output_shape(self, query_shape: Any, *_: Any, **__: Any) -> Any:  # type: ignore[override]
        return (*query_shape[:-1], self.settings["width"] or query_shape[-1])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return mask[0] if isinstance(mask, list | tuple) else mask

    def keys_and_values(self, memory: Any) -> tuple[Any, Any]:
        """Of what is attended to: (B, G, S, K) each."""
        keys = _normed(split(self.key(memory), self.groups), self.key_norm)
        return keys, split(self.value(memory), self.groups)

    def attend_to(self, query: Any, memory: tuple[Any, Any], *, mask: Any = None) -> Any:
        """Attention to keys and values that were made before."""
        queries = _normed(split(self.query(query), self.num_heads), self.query_norm)
        return self.attend(queries, *memory, mask=joined(mask, None))[0]

    def attend(
        self,
        queries: Any,
        keys: Any,
        values: Any,
        *,
        mask: Any,
        bias: Any = None,
        training: bool | None = None,
    ) -> tuple[Any, Any]:
        """What is found, (B, T, D), and the weights."""
        mixed, weights = attend(
            queries, keys, values, mask=mask, bias=bias, dropout=self.dropout, training=training
        )
        return self.out(merge(mixed)), weights


def attend(
    queries: Any,
    keys: Any,
    values: Any,
    *,
    mask: Any,
    bias: Any = None,
    dropout: Any,
    training: bool | None = None,
) -> tuple[Any, Any]:
    """softmax(q kᵀ / √K + bias) v, (B, H, T, K), and its weights (Vaswani et al. 2017, section 3.2.1)."""
    shared = queries.shape[1] // keys.shape[1]
    if shared > 1:
        keys, values = ops.repeat(keys, shared, axis=1), ops.repeat(values, shared, axis=1)
    scores = ops.matmul(
        queries / math.sqrt(queries.shape[-1]), ops.transpose(keys, (0, 1, 3, 2))
    )  # (B, H, T, S)
    if bias is not None:
        scores = scores + ops.cast(bias, scores.dtype)
    if mask is not None:
        scores = ops.where(mask, scores, ops.cast(HIDDEN, scores.dtype))
    # Keras warns of a softmax over a single number, which attention to a single token is.
    weights = ops.ones_like(scores) if scores.shape[-1] == 1 else ops.softmax(scores, axis=-1)
    if mask is not None:
        weights = ops.where(mask, weights, ops.cast(0.0, weights.dtype))
    return ops.matmul(dropout(weights, training=training), values), weights


def split(x: Any, heads: int) -> Any:
    """(B, T, H·K) to (B, H, T, K)."""
    shape = ops.shape(x)
    return ops.transpose(ops.reshape(x, (shape[0], shape[1], heads, x.shape[-1] // heads)), (0, 2, 1, 3))


def merge(x: Any) -> Any:
    """(B, H, T, K) to (B, T, H·K)."""
    shape = ops.shape(x)
    return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (shape[0], shape[2], x.shape[1] * x.shape[3]))


def _normed(x: Any, norm: Any) -> Any:
    return x if norm is None else norm(x)


def _causal(queries: Any, keys: Any, begin: Any) -> Any:
    """(1, 1, T, S): each query may see the keys up to its own place."""
    places = begin + ops.arange(ops.shape(queries)[2])
    return (ops.arange(ops.shape(keys)[2])[None, :] <= places[:, None])[None, None]


def joined(mask: Any, other: Any) -> Any:
    """Both masks, each of two to four axes, as (B, H, T, S)."""
    if mask is None:
        return other
    mask = ops.cast(mask, "bool")
    mask = mask[:, None] if len(mask.shape) == 3 else mask[None, None] if len(mask.shape) == 2 else mask
    return mask if other is None else ops.logical_and(mask, other)


def _extend(cache: Cache, keys: Any, values: Any) -> Cache:
    """The cache with these behind what it holds; made of operations that all of TensorFlow's programs have, where
    `slice_update` is one of XLA's."""
    count = ops.shape(keys)[2]
    places = ops.arange(ops.shape(cache.keys)[2]) - cache.length
    added = ops.logical_and(places >= 0, places < count)[:, None]
    at = ops.clip(places, 0, count - 1)

    def joined_by(held: Any, new: Any) -> Any:
        return ops.where(added, new if new.shape[2] == 1 else ops.take(new, at, axis=2), held)

    return Cache(joined_by(cache.keys, keys), joined_by(cache.values, values), cache.length + count)
