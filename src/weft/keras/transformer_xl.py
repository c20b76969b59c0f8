"""Transformer-XL (Dai et al. 2019): a decoder that reads a text segment by segment and remembers what it read."""

from typing import Any, NamedTuple

import keras
from keras import ops

from weft.config import ModelConfig
from weft.keras.adaptive import AdaptiveEmbedding, AdaptiveSoftmax
from weft.keras.layers import FeedForward, described, register
from weft.keras.models import Model, vectors
from weft.keras.ngram_embedding import ngrams_of
from weft.keras.pointer import PastPointer
from weft.keras.relative_attention import RelativeAttention, RelativeBiases, sinusoids
from weft.keras.stack import Residuals

__all__ = ["Memory", "TransformerXL"]


class Memory(NamedTuple):
    """What came into each layer at the last positions before a segment, (B, M, D) each; and what n-grams and the pointer
    need to know of what was read: its last tokens (B, N), and of the last S ≤ N of them, where there is a pointer, what the
    state after each is found by, (B, S, K). No gradient flows into the memory that a segment is given.
    """

    layers: tuple[Any, ...]
    tokens: Any
    keys: Any


@register
class TransformerXL(Model):
    """A decoder with a memory (Dai et al. 2019, section 3).

    Called with ids (B, T), or with {"ids": …, "memory": …}, it gives the logits (B, T, V) of a segment and the memory for
    the segment after it. The memory is that of the segments before; without one a text begins. It grows up to the
    configured length, and then the oldest positions are forgotten. Of an adaptive vocabulary, or with a pointer, the
    logits are log-probabilities.
    """

    def __init__(self, config: ModelConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        config = self.config
        assert config.recurrence is not None  # the configuration sees to it
        self.recurrence = config.recurrence
        self.embedding = AdaptiveEmbedding(config, name="embedding", dtype=self.dtype_policy)
        self.ngrams = ngrams_of(config, name="ngrams", dtype=self.dtype_policy)
        self.pointer = (
            PastPointer(config, name="pointer", dtype=self.dtype_policy) if self.recurrence.pointer else None
        )
        layers = range(config.decoder_layers)
        self.blocks = [
            RecurrentBlock(config, name=f"blocks_{number}", dtype=self.dtype_policy) for number in layers
        ]
        apart = layers[:1] if self.recurrence.shared_biases else layers
        own = [RelativeBiases(config, name=f"biases_{number}", dtype=self.dtype_policy) for number in apart]
        self.biases = own * len(layers) if self.recurrence.shared_biases else own  # each block's
        self.dropout = keras.layers.Dropout(config.dropout, dtype=self.dtype_policy)
        self.readout = AdaptiveSoftmax(config, name="output", dtype=self.dtype_policy)

    def call(self, inputs: Any, training: bool | None = None) -> tuple[Any, Memory]:
        ids, memory = (inputs["ids"], inputs.get("memory")) if isinstance(inputs, dict) else (inputs, None)
        states, memory = self.read(ids, memory, training=training)
        return self.logits(states, memory), memory

    def parts(self) -> list[Any]:
        some = [each for each in (self.ngrams, self.pointer) if each is not None]
        biases = self.biases[:1] if self.recurrence.shared_biases else self.biases
        return [self.embedding, *some, *self.blocks, *biases, self.readout]

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """That of the logits, for `fit`: nobody has labels for a memory."""
        return super().compute_loss(x, y, y_pred[0], sample_weight, training)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Those of the logits."""
        return super().compute_metrics(x, y, y_pred[0], sample_weight)

    def step(self, ids: Any, memory: Memory) -> tuple[Any, Memory]:
        """Logits (B, V) after the new tokens (B, T), and the memory with these in it."""
        states, memory = self.read(ids, memory)
        return self.logits(states[:, -1:], memory)[:, 0], memory

    def read(
        self, ids: Any, memory: Memory | None = None, *, training: bool | None = None
    ) -> tuple[Any, Memory]:
        """The hidden states (B, T, D) of a segment, and the memory for the segment after it."""
        memory = _constant(memory or self.new_memory(ops.shape(ids)[0]))
        length = ops.shape(ids)[1]
        count = ops.shape(memory.layers[0])[1] + length
        seen = self._seen(length, count)
        x = vectors(ids, self.embedding, self.ngrams, before=memory.tokens, training=training)
        x = self.dropout(x, training=training)
        encoded = self.dropout(ops.cast(self._distances(count), x.dtype), training=training)
        kept = []
        for block, biases, before in zip(self.blocks, self.biases, memory.layers, strict=True):
            kept.append(_last(ops.concatenate([before, x], axis=1), self.recurrence.memory))
            x = block(x, before, distances=encoded, biases=biases, attention_mask=seen, training=training)
        x = self.dropout(x, training=training)
        return x, self._join(memory, tuple(kept), ids, x)

    def logits(self, states: Any, memory: Memory) -> Any:
        """Scores over the vocabulary, for the last states (B, T, D) that are in the memory."""
        scores = self.readout(states, embedding=self.embedding)
        if self.pointer is None:
            return scores
        return self.pointer(states, scores=scores, tokens=memory.tokens, keys=memory.keys)

    def new_memory(self, rows: Any) -> Memory:
        """That of texts which have not begun."""
        empty = ops.zeros((rows, 0, self.config.width), self.compute_dtype)
        keys = ops.zeros((rows, 0, self.config.head_width), self.compute_dtype)
        return Memory((empty,) * self.config.decoder_layers, ops.zeros((rows, 0), "int32"), keys)

    def _seen(self, queries: Any, keys: Any) -> Any:
        """Which of the keys each of the last so many may see, (T, S)."""
        distance = (ops.arange(queries) + (keys - queries))[:, None] - ops.arange(keys)[None, :]
        near = distance < self.recurrence.memory if self.recurrence.same_length else True
        return ops.logical_and(distance >= 0, near)

    def _distances(self, count: Any) -> Any:
        """Those of so many positions, from the furthest to 0, encoded: (S, D)."""
        every = count - 1 - ops.arange(count)
        every = every if self.recurrence.clamp is None else ops.minimum(every, self.recurrence.clamp)
        return sinusoids(every, width=self.config.width)

    def _join(self, memory: Memory, layers: tuple[Any, ...], ids: Any, states: Any) -> Memory:
        """What is to be known of tokens that were read, too, without what is no longer needed: the pointer sees `pointer`
        positions before the new ones."""
        keys, reach = memory.keys, self.recurrence.pointer
        if self.pointer is not None:
            keys = ops.concatenate([_last(keys, reach), self.pointer.key(states)], axis=1)
        needed = max(reach, 0 if self.ngrams is None else self.ngrams.longest - 1)
        ids = ops.cast(ids, memory.tokens.dtype)
        return Memory(layers, ops.concatenate([_last(memory.tokens, needed), ids], axis=1), keys)


@register
class RecurrentBlock(Residuals):
    """Attention to a segment and the memory before it, and the feed-forward layer, each with its residual."""

    def __init__(self, config: ModelConfig | dict[str, Any], **kwargs: Any) -> None:
        config = described(config)
        super().__init__(
            {"config": config.model_dump(mode="json")},
            "attention",
            "feed_forward",
            norm=config.norm,
            norm_first=config.norm_place == "before",
            norm_scale=config.norm_scale,
            norm_epsilon=config.norm_epsilon,
            dropout=config.dropout,
            **kwargs,
        )
        self.attention = RelativeAttention(config, name="attention", dtype=self.dtype_policy)
        self.feed_forward = FeedForward(
            config.width,
            config.feed_forward,
            activation=config.activation,
            gated=config.gated,
            bias=config.bias,
            dropout=config.activation_dropout,
            zero_output=config.zero_output,
            initialisation=config.initialisation,
            name="feed_forward",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: Any, *_: Any) -> None:
        for layer in (self.attention, self.feed_forward, *self.norms.values()):
            layer.build(input_shape)

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
        """(B, T, D), from a segment (B, T, D) and the memory before it (B, M, D); the rest is what attention is told."""
        past = self.norms["attention"](memory) if self.norm_first else memory  # normalised as `x` is

        def attend(y: Any) -> Any:
            return self.attention(
                y,
                past,
                distances=distances,
                biases=biases,
                attention_mask=attention_mask,
                training=training,
            )

        x = self.residual(x, attend, name="attention", training=training)
        return self.residual(
            x, lambda y: self.feed_forward(y, training=training), name="feed_forward", training=training
        )


def _constant(memory: Memory) -> Memory:
    """The same, into which no gradient flows."""
    layers = tuple(ops.stop_gradient(layer) for layer in memory.layers)
    return Memory(layers, memory.tokens, ops.stop_gradient(memory.keys))


def _last(x: Any, count: int) -> Any:
    """The last positions, (B, ≤ count, …)."""
    return x[:, -count:] if count else x[:, :0]
