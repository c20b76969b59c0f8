"""The models of `weft.models` in Keras: the same configuration, the same names, the same numbers."""

from typing import Any

import keras
from keras import ops

from weft.config import ModelConfig
from weft.errors import UserError
from weft.keras.attention import Cache, Caches
from weft.keras.layers import (
    ACTIVATIONS,
    Embedding,
    Layer,
    OfModel,
    arguments,
    described,
    embedding_of,
    initial,
    linear,
    make_norm,
    output_of,
    register,
)
from weft.keras.ngram_embedding import NgramEmbedding, ngrams_of
from weft.keras.stack import decoder_of, encoder_of

__all__ = ["Decoder", "Encoder", "Labels", "MaskedHead", "Model", "Seq2Seq", "vectors"]

TOKENS = (Embedding, NgramEmbedding, keras.layers.Embedding)


class Model(keras.Model):
    """A model that is made of a configuration."""

    def __init__(self, config: ModelConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = described(config)
        if problems := obstacles(self.config):
            raise UserError(f"weft.keras does not have {', '.join(problems)}")

    def get_config(self) -> dict[str, Any]:
        dtype = keras.saving.serialize_keras_object(self.dtype_policy)
        return {"config": self.config.model_dump(mode="json"), "name": self.name, "dtype": dtype}

    def build(self, input_shape: Any = None) -> None:
        """Make all weights: their shapes are the configuration's."""
        states = (None, None, self.config.width)
        for layer in self.parts():
            layer.build((None, None) if isinstance(layer, TOKENS) else states)
        self.built = True

    def parts(self) -> list[Any]:
        """The layers that the model is made of, each once."""
        raise NotImplementedError

    def new_caches(self, rows: Any, capacity: int) -> Caches:
        """Empty caches for `capacity` tokens of each of so many rows."""
        config = self.config
        shape = (rows, config.groups, capacity, config.head_width)
        layers = [
            Cache(
                ops.zeros(shape, self.compute_dtype),
                ops.zeros(shape, self.compute_dtype),
                ops.convert_to_tensor(0, "int32"),
            )
            for _ in range(config.decoder_layers)
        ]
        past = 0 if config.ngrams is None else config.ngrams.longest - 1
        return Caches(layers, ops.full((rows, past), -1, "int32"))


def obstacles(config: ModelConfig) -> list[str]:
    """What of a model the layers here have not."""
    found = ["pointer"] * config.pointer
    if config.window is not None and config.decoder_layers:
        found.append("window in a decoder")
    if config.rotary_scaling is not None and config.rotary_scaling.kind != "linear":
        found.append(f"rotary_scaling.kind {config.rotary_scaling.kind}")
    return found


def vectors(
    ids: Any,
    embedding: Any,
    ngrams: NgramEmbedding | None,
    *,
    before: Any = None,
    training: bool | None = None,
) -> Any:
    """The tokens' vectors (B, T, D), which what stands before them may be part of."""
    x = embedding(ids)
    return x if ngrams is None else x + ngrams(ids, before, training=training)


@register
class Seq2Seq(Model):
    """The encoder-decoder Transformer (Vaswani et al. 2017).

    Called with {"source": (B, S), "target": (B, T)}, ids whose padding is the configuration's, it gives logits (B, T, V).
    """

    def __init__(self, config: ModelConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        config = self.config
        own: dict[str, Any] = {"dtype": self.dtype_policy}
        self.source_embedding = embedding_of(config, name="source_embedding", **own)
        apart = config.tie != "three"
        self.target_embedding = (
            embedding_of(config, name="target_embedding", **own) if apart else self.source_embedding
        )
        self.source_ngrams = ngrams_of(config, name="source_ngrams", **own)
        self.target_ngrams = ngrams_of(config, name="target_ngrams", **own)
        self.encoder = encoder_of(config, name="encoder", **own)
        self.decoder = decoder_of(config, cross=True, name="decoder", **own)
        self.readout = output_of(config, **own)

    def call(self, inputs: dict[str, Any], training: bool | None = None) -> Any:
        source, target = inputs["source"], inputs["target"]
        keep = ops.not_equal(source, self.config.special.pad)
        x = vectors(source, self.source_embedding, self.source_ngrams, training=training)
        memory = self.encoder(x, mask=keep, training=training)
        y = vectors(target, self.target_embedding, self.target_ngrams, training=training)
        return self.logits(self.decoder(y, memory, memory_mask=keep, training=training))

    def parts(self) -> list[Any]:
        apart = [] if self.config.tie == "three" else [self.target_embedding]
        ngrams = [each for each in (self.source_ngrams, self.target_ngrams) if each is not None]
        return [self.source_embedding, *apart, *ngrams, self.encoder, self.decoder, self.readout]

    def encode(self, source: Any) -> tuple[list[tuple[Any, Any]], Any]:
        """Read the source: each block's keys and values of it, and which of its tokens are real."""
        keep = ops.not_equal(source, self.config.special.pad)
        memory = self.encoder(vectors(source, self.source_embedding, self.source_ngrams), mask=keep)
        return [block.cross_attention.keys_and_values(memory) for block in self.decoder.blocks], keep

    def step(self, target: Any, kept: list[tuple[Any, Any]], keep: Any, caches: Caches) -> tuple[Any, Caches]:
        """Logits (B, V) after the new tokens (B, T), and the caches with these in them."""
        x = vectors(target, self.target_embedding, self.target_ngrams, before=caches.tokens)
        states, layers = self.decoder(x, memory_mask=keep, caches=caches.layers, kept=kept)
        return self.logits(states[:, -1]), caches.after(target, layers)

    def logits(self, states: Any) -> Any:
        """Scores over the vocabulary."""
        return self.readout(states, embedding=self.target_embedding)


@register
class Decoder(Model):
    """GPT (Radford et al. 2019), Llama (Touvron et al. 2023) and weft's own, by configuration: ids (B, T) to logits."""

    def __init__(self, config: ModelConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        config = self.config
        own: dict[str, Any] = {"dtype": self.dtype_policy}
        self.embedding = embedding_of(config, name="embedding", **own)
        self.ngrams = ngrams_of(config, name="ngrams", **own)
        self.decoder = decoder_of(config, cross=False, name="decoder", **own)
        self.readout = output_of(config, **own)

    def call(self, ids: Any, training: bool | None = None) -> Any:
        x = vectors(ids, self.embedding, self.ngrams, training=training)
        return self.logits(self.decoder(x, training=training))

    def parts(self) -> list[Any]:
        ngrams = [] if self.ngrams is None else [self.ngrams]
        return [self.embedding, *ngrams, self.decoder, self.readout]

    def step(self, ids: Any, caches: Caches) -> tuple[Any, Caches]:
        """Logits (B, V) after the new tokens (B, T), and the caches with these in them."""
        x = vectors(ids, self.embedding, self.ngrams, before=caches.tokens)
        states, layers = self.decoder(x, caches=caches.layers)
        return self.logits(states[:, -1]), caches.after(ids, layers)

    def logits(self, states: Any) -> Any:
        """Scores over the vocabulary."""
        return self.readout(states, embedding=self.embedding)


@register
class Encoder(Model):
    """BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) and weft's own, by configuration.

    Ids (B, T), or {"ids": …, "segments": …}, whose padding is the configuration's, to hidden states (B, T, D); the heads
    are methods of what comes out.
    """

    def __init__(
        self,
        config: ModelConfig | dict[str, Any],
        *,
        heads: tuple[str, ...] = (),
        labels: int = 0,
        pooling: str = "first",
        **kwargs: Any,
    ) -> None:
        super().__init__(config, **kwargs)
        config = self.config
        self.head_names, self.labels, self.pooling = tuple(heads), labels, pooling
        self.embedding = embedding_of(config, name="embedding", dtype=self.dtype_policy)
        self.segments: Any = None
        if config.segments:
            begin = initial("normal")
            self.segments = keras.layers.Embedding(
                config.segments,
                config.width,
                embeddings_initializer=begin,
                name="segments",
                dtype=self.dtype_policy,
            )
        self.encoder = encoder_of(config, name="encoder", dtype=self.dtype_policy)
        self.heads = {name: self._head(name) for name in self.head_names}

    def get_config(self) -> dict[str, Any]:
        own = {"heads": list(self.head_names), "labels": self.labels, "pooling": self.pooling}
        return super().get_config() | own

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        ids, segments = (
            (inputs["ids"], inputs.get("segments")) if isinstance(inputs, dict) else (inputs, None)
        )
        x = self.embedding(ids)
        if self.segments is not None:
            x = x + self.segments(ops.zeros_like(ids) if segments is None else segments)
        return self.encoder(x, mask=ops.not_equal(ids, self.config.special.pad), training=training)

    def parts(self) -> list[Any]:
        segments = [] if self.segments is None else [self.segments]
        return [self.embedding, *segments, self.encoder, *self.heads.values()]

    def pool(self, states: Any, ids: Any) -> Any:
        """One vector for each row, (B, D): the first token's state, or the mean of all real ones'."""
        if self.pooling == "first":
            return states[:, 0]
        real = ops.cast(ops.not_equal(ids, self.config.special.pad), states.dtype)[..., None]
        return ops.sum(states * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1)

    def pooled(self, states: Any, ids: Any) -> Any:
        """The same, through the pooler where there is one."""
        vector = self.pool(states, ids)
        return self.heads["pooler"](vector) if "pooler" in self.heads else vector

    def masked_logits(self, states: Any) -> Any:
        """What each token was, over the vocabulary."""
        head = self.heads["masked"]
        return head.readout(head(states), embedding=self.embedding)

    def _head(self, name: str) -> Any:
        config, begin = self.config, self.config.initialisation
        own: dict[str, Any] = {"name": name, "dtype": self.dtype_policy}
        if name == "masked":
            return MaskedHead(config, **own)
        if name == "pooler":
            return linear(config.width, bias=config.bias, begin=begin, activation="tanh", **own)
        labels = 2 if name in ("next", "answer") else self.labels
        return Labels(labels, dropout=config.dropout, initialisation=begin, **own)


@register
class Labels(Layer):
    """A score for each label, after dropout (Devlin et al. 2019, section 4)."""

    def __init__(
        self, labels: int, *, dropout: float = 0.0, initialisation: str = "xavier", **kwargs: Any
    ) -> None:
        super().__init__(arguments(locals()), **kwargs)
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.scores = linear(labels, bias=True, begin=initialisation, name="output", dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        self.scores.build(input_shape)

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return (*input_shape[:-1], self.settings["labels"])

    def call(self, states: Any, training: bool | None = None) -> Any:
        return self.scores(self.dropout(states, training=training))


@register
class MaskedHead(OfModel):
    """norm(f(dense(x))), before the vocabulary (Devlin et al. 2019, section 3.1)."""

    def __init__(self, config: ModelConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        read = self.config
        self.activation = ACTIVATIONS[read.activation]
        own: dict[str, Any] = {"dtype": self.dtype_policy}
        self.dense = linear(read.width, bias=read.bias, begin=read.initialisation, name="dense", **own)
        self.norm = make_norm(read.norm, scale=read.norm_scale, epsilon=read.norm_epsilon, name="norm", **own)
        self.readout = output_of(read, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        for layer in (self.dense, self.norm, self.readout):
            layer.build(input_shape)

    def call(self, states: Any) -> Any:
        return self.norm(self.activation(self.dense(states)))
