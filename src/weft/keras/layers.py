"""Norms, feed-forward layers and embeddings: what a block is made of beside attention."""

import json
import math
from typing import Any

import keras
from keras import ops

from weft.config import LAYER_EPSILON, RMS_EPSILON, ModelConfig

__all__ = [
    "ACTIVATIONS",
    "Embedding",
    "FeedForward",
    "Layer",
    "OfModel",
    "Output",
    "RMSNorm",
    "arguments",
    "described",
    "embedding_of",
    "initial",
    "linear",
    "make_norm",
    "output_of",
    "register",
]

NORMAL_DEVIATION = 0.02

register = keras.saving.register_keras_serializable(package="weft")


def initial(kind: str) -> Any:
    """What a matrix begins as: "xavier" (Glorot and Bengio 2010), "normal" with a deviation of 0.02, or "zeros"."""
    if kind == "normal":
        return keras.initializers.RandomNormal(stddev=NORMAL_DEVIATION)
    return keras.initializers.Zeros() if kind == "zeros" else keras.initializers.GlorotUniform()


def linear(width: int, *, bias: bool, begin: str, **kwargs: Any) -> Any:
    """x W + b, W as `initial` says."""
    return keras.layers.Dense(width, use_bias=bias, kernel_initializer=initial(begin), **kwargs)


def described(config: ModelConfig | dict[str, Any]) -> ModelConfig:
    """The configuration that is meant: one, or what JSON makes of it, lists for tuples."""
    if isinstance(config, ModelConfig):
        return config
    return ModelConfig.model_validate_json(json.dumps(config))


def arguments(scope: dict[str, Any]) -> dict[str, Any]:
    """What a constructor was called with, all but what is Keras's own, from its `locals()`."""
    return {name: value for name, value in scope.items() if name not in ("self", "kwargs", "__class__")}


class Layer(keras.layers.Layer):
    """A layer that is made anew from the arguments it was made of, its `settings`; the layers in it are of its own dtype."""

    def __init__(self, settings: dict[str, Any], **keras_own: Any) -> None:
        super().__init__(**keras_own)
        self.settings = settings
        self.supports_masking = True

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings}

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return input_shape


class OfModel(Layer):
    """A layer that is made anew from the configuration of the model it is a part of."""

    def __init__(self, config: ModelConfig | dict[str, Any], **keras_own: Any) -> None:
        read = described(config)
        super().__init__({"config": read.model_dump(mode="json")}, **keras_own)
        self.config = read


@register
class RMSNorm(Layer):
    """x / √(mean(x²) + ε) over the last axis (Zhang and Sennrich 2019), times a trained scale if there is one."""

    def __init__(self, *, scale: bool = True, epsilon: float = RMS_EPSILON, **kwargs: Any) -> None:
        super().__init__({"scale": scale, "epsilon": epsilon}, **kwargs)
        self.scaled, self.epsilon = scale, epsilon
        self.weight: Any = None

    def build(self, input_shape: Any) -> None:
        if self.scaled:
            self.weight = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="weight")

    def call(self, x: Any) -> Any:
        wide = ops.cast(x, "float32")
        y = ops.cast(wide * ops.rsqrt(ops.mean(wide * wide, axis=-1, keepdims=True) + self.epsilon), x.dtype)
        return y if self.weight is None else y * ops.cast(self.weight, x.dtype)


def make_norm(norm: str, *, scale: bool, epsilon: float | None, **kwargs: Any) -> Any:
    """LayerNorm (Ba et al. 2016) or RMSNorm over the last axis."""
    if norm == "rms":
        return RMSNorm(scale=scale, epsilon=epsilon or RMS_EPSILON, **kwargs)
    return keras.layers.LayerNormalization(
        epsilon=epsilon or LAYER_EPSILON, center=scale, scale=scale, **kwargs
    )


def _relu_squared(x: Any) -> Any:
    positive = ops.relu(x)
    return positive * positive


ACTIVATIONS = {
    "relu": ops.relu,
    "gelu": lambda x: ops.gelu(x, approximate=False),
    "gelu_tanh": lambda x: ops.gelu(x, approximate=True),
    "silu": ops.silu,
    "relu_squared": _relu_squared,
}


@register
class FeedForward(Layer):
    """down(f(up(x))) (Vaswani et al. 2017, section 3.3), or gated: down(f(gate(x)) · up(x)) (Shazeer 2020)."""

    def __init__(
        self,
        width: int,
        feed_forward: int,
        *,
        activation: str = "relu",
        gated: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        zero_output: bool = False,
        initialisation: str = "xavier",
        **kwargs: Any,
    ) -> None:
        super().__init__(arguments(locals()), **kwargs)
        self.activation = ACTIVATIONS[activation]
        made: dict[str, Any] = {"bias": bias, "dtype": self.dtype_policy}
        self.up = linear(feed_forward, begin=initialisation, name="up", **made)
        self.gate = linear(feed_forward, begin=initialisation, name="gate", **made) if gated else None
        self.down = linear(width, begin="zeros" if zero_output else initialisation, name="down", **made)
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape: Any) -> None:
        for layer in (self.up, self.gate):
            if layer is not None:
                layer.build(input_shape)
        self.down.build((*input_shape[:-1], self.settings["feed_forward"]))

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return (*input_shape[:-1], self.settings["width"])

    def call(self, x: Any, training: bool | None = None) -> Any:
        inner = self.up(x)  # (B, T, F)
        inner = self.activation(inner) if self.gate is None else self.activation(self.gate(x)) * inner
        return self.down(self.dropout(inner, training=training))


@register
class Embedding(Layer):
    """One vector for each token, scaled by √D where that is asked for (Vaswani et al. 2017, section 3.4).

    With `mask_zero` the padding, token 0, is masked in all that follows, as Keras's own layer does it.
    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        *,
        scaled: bool = False,
        mask_zero: bool = False,
        initialisation: str = "xavier",
        **kwargs: Any,
    ) -> None:
        super().__init__(arguments(locals()), **kwargs)
        deviation = NORMAL_DEVIATION if initialisation == "normal" else width**-0.5
        begin = keras.initializers.RandomNormal(stddev=deviation)
        self.tokens = keras.layers.Embedding(
            vocabulary, width, embeddings_initializer=begin, name="tokens", dtype=self.dtype_policy
        )
        self.scale = math.sqrt(width) if scaled else 1.0
        self.mask_zero = mask_zero

    def build(self, input_shape: Any) -> None:
        self.tokens.build(input_shape)

    def compute_mask(self, ids: Any, mask: Any = None) -> Any:
        return ops.not_equal(ids, 0) if self.mask_zero else mask

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return (*input_shape, self.settings["width"])

    def call(self, ids: Any) -> Any:
        return self.tokens(ids) * self.scale


@register
class Output(Layer):
    """Scores over the vocabulary: by a matrix of its own, or, `tied`, by the table of an embedding (Press and Wolf 2017)."""

    def __init__(
        self, vocabulary: int, *, tied: bool, bias: bool, initialisation: str = "xavier", **kwargs: Any
    ) -> None:
        super().__init__(arguments(locals()), **kwargs)
        self.matrix: Any = None
        if not tied:
            begin, dtype = initialisation, self.dtype_policy
            self.matrix = linear(vocabulary, bias=bias, begin=begin, name="matrix", dtype=dtype)
        self.bias: Any = None

    def build(self, input_shape: Any) -> None:
        if self.matrix is not None:
            self.matrix.build(input_shape)
        elif self.settings["bias"]:
            self.bias = self.add_weight(
                shape=(self.settings["vocabulary"],), initializer="zeros", name="bias"
            )

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return (*input_shape[:-1], self.settings["vocabulary"])

    def call(self, states: Any, *, embedding: Embedding) -> Any:
        if self.matrix is not None:
            return self.matrix(states)
        table = ops.cast(embedding.tokens.embeddings, states.dtype)  # (V, D)
        scores = ops.matmul(states, ops.transpose(table))
        return scores if self.bias is None else scores + ops.cast(self.bias, scores.dtype)


def output_of(config: ModelConfig, **kwargs: Any) -> Output:
    """The output that a configuration describes."""
    return Output(
        config.vocabulary,
        tied=config.tie != "none",
        bias=config.output_bias,
        initialisation=config.initialisation,
        name="output",
        **kwargs,
    )


def embedding_of(config: ModelConfig, **kwargs: Any) -> Embedding:
    """The embedding that a configuration describes."""
    return Embedding(
        config.vocabulary,
        config.width,
        scaled=config.scale_embedding,
        initialisation=config.initialisation,
        **kwargs,
    )
