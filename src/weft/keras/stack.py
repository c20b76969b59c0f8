"""Blocks, and stacks of them, as Keras users build them: the encoder's and the decoder's."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from weft.config import ModelConfig
from weft.errors import UserError
from weft.keras.attention import Cache, MultiHeadAttention, joined
from weft.keras.layers import FeedForward, Layer, arguments, make_norm, register
from weft.keras.positions import Positions, make_positions

__all__ = [
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "decoder_of",
    "encoder_of",
]


def block_settings(config: ModelConfig) -> dict[str, Any]:
    """The arguments of a block, from a model's configuration."""
    return {
        "num_heads": config.heads,
        "key_dim": config.head_width,
        "feed_forward": config.feed_forward,
        "num_kv_heads": config.kv_heads,
        "activation": config.activation,
        "gated": config.gated,
        "norm": config.norm,
        "norm_first": config.norm_place == "before",
        "norm_scale": config.norm_scale,
        "norm_epsilon": config.norm_epsilon,
        "bias": config.bias,
        "query_key_value_bias": config.query_key_value_bias,
        "query_key_norm": config.query_key_norm,
        "dropout": config.dropout,
        "attention_dropout": config.attention_dropout,
        "activation_dropout": config.activation_dropout,
        "zero_output": config.zero_output,
        "initialisation": config.initialisation,
    }


class Residuals(Layer):
    """Branches, each with its residual, and its norm before it or after."""

    def __init__(
        self,
        settings: dict[str, Any],
        *branches: str,
        norm: str,
        norm_first: bool,
        norm_scale: bool,
        norm_epsilon: float | None,
        dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(settings, **kwargs)
        self.norm_first = norm_first
        self.norms = {
            name: make_norm(
                norm, scale=norm_scale, epsilon=norm_epsilon, name=f"{name}_norm", dtype=self.dtype_policy
            )
            for name in branches
        }
        self.dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def residual(self, x: Any, branch: Callable[[Any], Any], *, name: str, training: bool | None) -> Any:
        """x + dropout(branch(norm(x))), or norm(x + dropout(branch(x))): nothing else knows which."""
        norm = self.norms[name]
        if self.norm_first:
            return x + self.dropout(branch(norm(x)), training=training)
        return norm(x + self.dropout(branch(x), training=training))


class Block(Residuals):
    """Self-attention, cross-attention where there is a memory, and the feed-forward layer, each with its residual."""

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        feed_forward: int,
        *,
        num_kv_heads: int | None = None,
        activation: str = "relu",
        gated: bool = False,
        norm: str = "layer",
        norm_first: bool = True,
        norm_scale: bool = True,
        norm_epsilon: float | None = None,
        bias: bool = True,
        query_key_value_bias: bool | None = None,
        query_key_norm: bool = False,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        activation_dropout: float = 0.0,
        zero_output: bool = False,
        initialisation: str = "xavier",
        cross: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            arguments(locals()),
            *(("attention", "cross", "feed_forward") if cross else ("attention", "feed_forward")),
            norm=norm,
            norm_first=norm_first,
            norm_scale=norm_scale,
            norm_epsilon=norm_epsilon,
            dropout=dropout,
            **kwargs,
        )
        attention: dict[str, Any] = {
            "num_kv_heads": num_kv_heads,
            "bias": bias,
            "query_key_value_bias": query_key_value_bias,
            "query_key_norm": query_key_norm,
            "norm_epsilon": norm_epsilon,
            "dropout": attention_dropout,
            "zero_output": zero_output,
            "initialisation": initialisation,
            "dtype": self.dtype_policy,
        }
        self.attention = MultiHeadAttention(num_heads, key_dim, name="attention", **attention)
        self.cross_attention: Any = (
            MultiHeadAttention(num_heads, key_dim, name="cross", **attention) if cross else None
        )
        self.feed_forward: Any = None

    def build(self, input_shape: Any, *_: Any) -> None:
        settings = self.settings
        self.attention.build(input_shape)
        if self.cross_attention is not None:
            self.cross_attention.build(input_shape, input_shape)
        self.feed_forward = FeedForward(
            input_shape[-1],
            settings["feed_forward"],
            activation=settings["activation"],
            gated=settings["gated"],
            bias=settings["bias"],
            dropout=settings["activation_dropout"],
            zero_output=settings["zero_output"],
            initialisation=settings["initialisation"],
            name="feed_forward",
            dtype=self.dtype_policy,
        )
        self.feed_forward.build(input_shape)
        for norm in self.norms.values():
            norm.build(input_shape)


@register
class TransformerEncoderLayer(Block):
    """Self-attention and feed-forward (Vaswani et al. 2017, section 3.1)."""

    def call(
        self,
        x: Any,
        mask: Any = None,
        *,
        attention_mask: Any = None,
        position: Positions | None = None,
        bias: Any = None,
        training: bool | None = None,
    ) -> Any:
        """(B, T, D). `mask` (B, T) is True at real tokens, as Keras hands it on; `attention_mask` as in attention."""
        allowed = attention_mask
        if mask is not None:
            allowed = joined(mask[:, None, None, :], attention_mask)

        def attend(y: Any) -> Any:
            return self.attention(y, attention_mask=allowed, position=position, bias=bias, training=training)

        x = self.residual(x, attend, name="attention", training=training)
        return self.residual(
            x, lambda y: self.feed_forward(y, training=training), name="feed_forward", training=training
        )


@register
class TransformerDecoderLayer(Block):
    """The same, causal, with attention to a memory between (Vaswani et al. 2017, section 3.1), unless it is told
    `cross=False`: then it is a block of a GPT."""

    def __init__(self, *args: Any, cross: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, cross=cross, **kwargs)

    def call(
        self,
        x: Any,
        memory: Any = None,
        mask: Any = None,
        *,
        memory_mask: Any = None,
        position: Positions | None = None,
        bias: Any = None,
        cache: Cache | None = None,
        kept: tuple[Any, Any] | None = None,
        training: bool | None = None,
    ) -> Any:
        """(B, T, D). `memory_mask` (B, S) is True at real tokens. With `cache`, `x` holds the new tokens alone, and the
        cache comes beside the output; `kept` are then the memory's keys and values."""
        allowed = None if mask is None else mask[:, None, None, :]
        seen = None if memory_mask is None else memory_mask[:, None, None, :]
        after: list[Cache] = []

        def attend(y: Any) -> Any:
            found = self.attention(
                y,
                attention_mask=allowed,
                use_causal_mask=True,
                position=position,
                bias=bias,
                cache=cache,
                training=training,
            )
            if cache is None:
                return found
            after.append(found[1])
            return found[0]

        def look(y: Any) -> Any:
            if kept is not None:
                return self.cross_attention.attend_to(y, kept, mask=seen)
            return self.cross_attention(y, memory, attention_mask=seen, training=training)

        x = self.residual(x, attend, name="attention", training=training)
        if self.cross_attention is not None:
            x = self.residual(x, look, name="cross", training=training)
        x = self.residual(
            x, lambda y: self.feed_forward(y, training=training), name="feed_forward", training=training
        )
        return (x, after[0]) if cache is not None else x


class Stack(Layer):
    """`num_layers` blocks, positions before them, and a final norm where norms come before their branches.

    `block` is what each block is made of, and Keras's own `name`, `dtype` and `trainable`.
    """

    kind: type[Block]
    windows = False  # whether its tokens may be shown their neighbourhood alone

    def __init__(
        self,
        num_layers: int,
        *,
        position: Positions | None = None,
        embedding_norm: bool = False,
        window: int | None = None,
        global_every: int = 3,
        **block: Any,
    ) -> None:
        keras_own = {name: block.pop(name) for name in ("name", "dtype", "trainable") if name in block}
        own = {
            "num_layers": num_layers,
            "position": None if position is None else keras.saving.serialize_keras_object(position),
            "embedding_norm": embedding_norm,
            "window": window,
            "global_every": global_every,
            **block,
        }
        if window is not None and not self.windows:
            raise UserError("window: a decoder here sees all that stands before")
        super().__init__(own, **keras_own)
        self.window, self.global_every = window, global_every
        self.position = Positions(name="position") if position is None else position
        dtype = self.dtype_policy
        self.blocks = [self.kind(**block, name=f"blocks_{each}", dtype=dtype) for each in range(num_layers)]
        norm = {
            "dtype": dtype,
            "norm": block.get("norm", "layer"),
            "scale": block.get("norm_scale", True),
            "epsilon": block.get("norm_epsilon"),
        }
        self.embedding_norm = make_norm(**norm, name="embedding_norm") if embedding_norm else None
        self.norm = make_norm(**norm, name="norm") if block.get("norm_first", True) else None
        self.dropout = keras.layers.Dropout(block.get("dropout", 0.0), dtype=dtype)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Stack":
        position = config.pop("position", None)
        return cls(
            position=None if position is None else keras.saving.deserialize_keras_object(position), **config
        )

    def build(self, input_shape: Any, *_: Any) -> None:
        if not self.position.built:
            self.position.build(input_shape)
        for layer in (*self.blocks, self.embedding_norm, self.norm):
            if layer is not None:
                layer.build(input_shape)

    def begin(self, x: Any, at: Any, training: bool | None) -> Any:
        """What the first block reads."""
        x = self.position(x, begin=at)
        x = x if self.embedding_norm is None else self.embedding_norm(x)
        return self.dropout(x, training=training)


@register
class TransformerEncoder(Stack):
    """An encoder: `TransformerEncoder(6, num_heads=8, key_dim=64, feed_forward=2048, position=PositionalEncoding(512))`."""

    kind = TransformerEncoderLayer
    windows = True

    def call(self, x: Any, mask: Any = None, *, training: bool | None = None) -> Any:
        """(B, T, D) embedded tokens to hidden states. `mask` (B, T) is True at real tokens."""
        places = ops.arange(ops.shape(x)[1])
        bias = self.position.bias(places, places)
        keep = None if mask is None else mask[:, None, None, :]
        near = keep
        if self.window is not None:
            distance = ops.abs(places[:, None] - places[None, :])
            inside = (distance < self.window)[None, None]
            near = inside if keep is None else ops.logical_and(inside, keep)
        x = self.begin(x, 0, training)
        for number, block in enumerate(self.blocks):
            far = self.global_every and number % self.global_every == 0
            x = block(
                x, attention_mask=keep if far else near, position=self.position, bias=bias, training=training
            )
        return x if self.norm is None else self.norm(x)


@register
class TransformerDecoder(Stack):
    """A decoder, which attends to a memory unless it is told `cross=False`."""

    kind = TransformerDecoderLayer

    def call(
        self,
        x: Any,
        memory: Any = None,
        mask: Any = None,
        *,
        memory_mask: Any = None,
        caches: list[Cache] | None = None,
        kept: list[tuple[Any, Any]] | None = None,
        training: bool | None = None,
    ) -> Any:
        """(B, T, D) embedded tokens to hidden states. With `caches`, one for each block, `x` holds the new tokens alone, and
        the caches come beside the states."""
        at = 0 if caches is None else caches[0].length
        length = ops.shape(x)[1]
        size = length if caches is None else ops.shape(caches[0].keys)[2]
        bias = self.position.bias(at + ops.arange(length), ops.arange(size))
        x = self.begin(x, at, training)
        after = []
        for number, block in enumerate(self.blocks):
            found = block(
                x,
                memory,
                mask=mask,
                memory_mask=memory_mask,
                position=self.position,
                bias=bias,
                cache=None if caches is None else caches[number],
                kept=None if kept is None else kept[number],
                training=training,
            )
            if caches is None:
                x = found
            else:
                x, cache = found
                after.append(cache)
        x = x if self.norm is None else self.norm(x)
        return x if caches is None else (x, after)


def encoder_of(config: ModelConfig, **kwargs: Any) -> TransformerEncoder:
    """The encoder that a configuration describes."""
    return TransformerEncoder(
        config.encoder_layers,
        position=make_positions(config, causal=False),
        embedding_norm=config.embedding_norm,
        window=config.window,
        global_every=config.global_every,
        **block_settings(config),
        **kwargs,
    )


def decoder_of(config: ModelConfig, *, cross: bool, **kwargs: Any) -> TransformerDecoder:
    """The decoder that a configuration describes."""
    return TransformerDecoder(
        config.decoder_layers,
        position=make_positions(config, causal=True),
        embedding_norm=config.embedding_norm,
        cross=cross,
        **block_settings(config),
        **kwargs,
    )
