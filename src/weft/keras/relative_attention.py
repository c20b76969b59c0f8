"""Attention with relative positions whose weight depends on the content (Dai et al. 2019)."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from weft.config import ModelConfig
from weft.keras.attention import attend, merge, split
from weft.keras.layers import OfModel, initial, linear, register

__all__ = ["RelativeAttention", "RelativeBiases", "by_distance", "sinusoids"]


def sinusoids(distances: Any, *, width: int) -> Any:
    """All sines before all cosines of geometrically growing wavelengths, for each distance (S,): (S, D) (Dai et al. 2019,
    section 3.3).

    In float32, as the reference computes them: what a trained model learned is what they are in that precision.
    """
    exponents = np.arange(0, width, 2, dtype=np.float32) / np.float32(width)
    rates = np.float32(1) / (10_000.0 ** exponents.astype(np.float64)).astype(np.float32)
    angles = ops.cast(distances, "float32")[:, None] * rates  # (S, D/2)
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)


def by_distance(scores: Any) -> Any:
    """Scores (B, H, T, S) of distances, from S - 1 down to 0, to scores of keys: query i's begin T - 1 - i further to the
    right.

    One copy moves all rows at once (Dai et al. 2019, appendix B): with a column in front, each row of S numbers begins
    one number later than the one before. What lands on later keys means nothing, and is the mask's to hide.
    """
    batch, heads, queries, keys = ops.shape(scores)
    padded = ops.pad(scores, ((0, 0), (0, 0), (0, 0), (1, 0)))  # (B, H, T, S + 1)
    moved = ops.reshape(padded, (batch, heads, keys + 1, queries))[:, :, 1:]
    return ops.reshape(moved, (batch, heads, queries, keys))


@register
class RelativeBiases(OfModel):
    """u and v (Dai et al. 2019, section 3.3): queries (B, H, T, K) to (q + u, q + v), which stand for where a query would
    stand; maybe shared by all layers."""

    content: Any = None
    distance: Any = None

    def build(self, input_shape: Any = None) -> None:
        shape = (self.config.heads, self.config.head_width)
        self.content = self.add_weight(shape=shape, initializer=initial("normal"), name="content")
        self.distance = self.add_weight(shape=shape, initializer=initial("normal"), name="distance")

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return input_shape, input_shape

    def call(self, queries: Any) -> tuple[Any, Any]:
        content, distance = (
            ops.cast(ops.expand_dims(each, 1), queries.dtype) for each in (self.content, self.distance)
        )
        return queries + content, queries + distance


@register
class RelativeAttention(OfModel):
    """softmax(((q + u) kᵀ + (q + v) rᵀ) / √K) v over a segment and the memory before it (Dai et al. 2019, section 3.3).

    r is the distance's own projection. No projection has a bias.
    """

    def __init__(self, config: ModelConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        config = self.config
        inner, begin = config.heads * config.head_width, config.initialisation
        self.query = linear(inner, bias=False, begin=begin, name="query", dtype=self.dtype_policy)
        self.key = linear(inner, bias=False, begin=begin, name="key", dtype=self.dtype_policy)
        self.value = linear(inner, bias=False, begin=begin, name="value", dtype=self.dtype_policy)
        self.distance = linear(inner, bias=False, begin=begin, name="distance", dtype=self.dtype_policy)
        last = "zeros" if config.zero_output else begin
        self.out = linear(
            config.width, bias=False, begin=last, name="output"
        )  # `output` means something else to Keras
        self.dropout = keras.layers.Dropout(config.attention_dropout, dtype=self.dtype_policy)

    def build(self, input_shape: Any, *_: Any) -> None:
        for layer in (self.query, self.key, self.value, self.distance):
            layer.build(input_shape)
        self.out.build((*input_shape[:-1], self.config.heads * self.config.head_width))

    def call(
        self,
        x: Any,
        memory: Any,
        *,
        distances: Any,
        biases: RelativeBiases,
        attention_mask: Any,
        training: bool | None = None,
    ) -> Any:
        """Attend from `x` (B, T, D) to `memory` (B, M, D) and itself, of S tokens together: (B, T, D).

        `distances` (S, D) are encoded from S - 1 down to 0; `attention_mask` (T, S) is True where a query may look.
        """
        heads = self.config.heads
        every = ops.concatenate([memory, x], axis=1)
        content, distance = biases(split(self.query(x), heads))
        r = split(self.distance(distances[None]), heads)  # (1, H, S, K)
        far = ops.matmul(distance, ops.transpose(r, (0, 1, 3, 2))) / math.sqrt(self.config.head_width)
        mixed, _ = attend(
            content,
            split(self.key(every), heads),
            split(self.value(every), heads),
            mask=attention_mask[None, None],
            bias=by_distance(far),
            dropout=self.dropout,
            training=training,
        )
        return self.out(merge(mixed))
