"""Position schemes, beside those of `weft.nn.positions`: each enters by one of three hooks.

Tables are tensors from the beginning: as arrays they would be a constant in a compiled function wherever it reads them.
"""

import math
from typing import Any

import numpy as np
from keras import ops

from weft.config import BUCKETS, FARTHEST, ModelConfig
from weft.families.positions import alibi_slopes, position_table
from weft.keras.layers import Layer, initial, register

__all__ = [
    "Alibi",
    "LearnedPositions",
    "PositionalEncoding",
    "Positions",
    "RelativeBuckets",
    "Rotary",
    "make_positions",
]


@register
class Positions(Layer):
    """No positions at all, and the interface of every scheme. `begin` is the first token's position: a number, or a
    tensor without axes. What comes out has the dtype of what goes in."""

    def __init__(self, settings: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(settings or {}, autocast=False, **kwargs)

    def call(self, x: Any, begin: Any = 0) -> Any:
        """Add positions to the embedded tokens, (B, T, D)."""
        return x

    def rotate(self, x: Any, begin: Any = 0) -> Any:
        """Turn the queries or the keys of self-attention, (B, H, T, K)."""
        return x

    def bias(self, queries: Any, keys: Any) -> Any:
        """Something to add to the scores of self-attention, (H, T, S), for the positions (T,) and (S,); None for nothing."""
        return None


@register
class PositionalEncoding(Positions):
    """Fixed sines and cosines of geometrically growing wavelengths (Vaswani et al. 2017, section 3.5).

    `halves` puts all sines before all cosines, as Marian does, where the paper lets them alternate.
    """

    def __init__(self, width: int, max_length: int = 1024, *, halves: bool = False, **kwargs: Any) -> None:
        super().__init__({"width": width, "max_length": max_length, "halves": halves}, **kwargs)
        kind = "sinusoidal_halves" if halves else "sinusoidal"
        self.table = ops.convert_to_tensor(position_table(kind, width=width, length=max_length))

    def call(self, x: Any, begin: Any = 0) -> Any:
        return x + ops.cast(_rows(self.table, begin, ops.shape(x)[1]), x.dtype)


@register
class LearnedPositions(Positions):
    """One trained vector for each position (Gehring et al. 2017), the first of them at row `offset` of the table."""

    def __init__(self, width: int, max_length: int = 1024, *, offset: int = 0, **kwargs: Any) -> None:
        super().__init__({"width": width, "max_length": max_length, "offset": offset}, **kwargs)
        self.offset = offset
        self.table: Any = None

    def build(self, input_shape: Any) -> None:
        rows = self.settings["max_length"] + self.offset
        self.table = self.add_weight(
            shape=(rows, self.settings["width"]), initializer=initial("normal"), name="table"
        )

    def call(self, x: Any, begin: Any = 0) -> Any:
        rows = _rows(ops.convert_to_tensor(self.table), begin + self.offset, ops.shape(x)[1])
        return x + ops.cast(rows, x.dtype)


@register
class Rotary(Positions):
    """Queries and keys turned by angles that grow with the position (Su et al. 2021, section 3.2); number i is paired with
    number i + K/2, as in published checkpoints."""

    def __init__(
        self,
        key_dim: int,
        max_length: int = 1024,
        *,
        base: float = 10_000.0,
        stretched: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            {"key_dim": key_dim, "max_length": max_length, "base": base, "stretched": stretched}, **kwargs
        )
        rates = base ** (-np.arange(0, key_dim, 2) / key_dim) / stretched
        angles = np.tile(np.arange(max_length)[:, None] * rates, (1, 2))  # (max_length, K)
        signs = np.repeat([-1.0, 1.0], key_dim // 2)
        self.cosines = ops.convert_to_tensor(np.cos(angles).astype(np.float32))
        self.sines = ops.convert_to_tensor((np.sin(angles) * signs).astype(np.float32))

    def rotate(self, x: Any, begin: Any = 0) -> Any:
        length, half = ops.shape(x)[2], x.shape[-1] // 2
        cosines, sines = (
            ops.cast(_rows(each, begin, length), x.dtype) for each in (self.cosines, self.sines)
        )
        return x * cosines + ops.roll(x, half, axis=-1) * sines


@register
class Alibi(Positions):
    """A penalty that grows linearly with the distance, steeper for some heads (Press et al. 2022, section 3)."""

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__({"num_heads": num_heads}, **kwargs)
        self.slopes = alibi_slopes(num_heads)[:, None, None]

    def bias(self, queries: Any, keys: Any) -> Any:
        distance = ops.abs(ops.cast(queries[:, None] - keys[None, :], "float32"))
        return -ops.convert_to_tensor(self.slopes) * distance


@register
class RelativeBuckets(Positions):
    """A trained bias for each head and bucket of distances, exact when near and logarithmic when far (Raffel et al. 2020,
    section 2.1)."""

    def __init__(self, num_heads: int, *, causal: bool, **kwargs: Any) -> None:
        super().__init__({"num_heads": num_heads, "causal": causal}, **kwargs)
        self.causal = causal
        self.table: Any = None

    def build(self, input_shape: Any) -> None:
        shape = (BUCKETS, self.settings["num_heads"])
        self.table = self.add_weight(shape=shape, initializer=initial("normal"), name="table")

    def bias(self, queries: Any, keys: Any) -> Any:
        ahead = keys[None, :] - queries[:, None]  # (T, S)
        buckets = BUCKETS if self.causal else BUCKETS // 2
        side = ops.zeros_like(ahead) if self.causal else ops.cast(ahead > 0, ahead.dtype) * buckets
        distance = ops.maximum(-ahead, 0) if self.causal else ops.abs(ahead)
        exact = buckets // 2
        near = ops.cast(ops.maximum(distance, 1), "float32") / exact
        far = ops.cast(ops.log(near) / math.log(FARTHEST / exact) * (buckets - exact), ahead.dtype)
        far = ops.minimum(exact + far, buckets - 1)
        vectors = ops.take(self.table, side + ops.where(distance < exact, distance, far), axis=0)
        return ops.transpose(vectors, (2, 0, 1))


def _rows(table: Any, begin: Any, count: Any) -> Any:
    """`count` rows of a table from row `begin` on."""
    return ops.take(table, begin + ops.arange(count), axis=0)


def make_positions(config: ModelConfig, *, causal: bool) -> Positions:
    """The scheme that a configuration names, for one stack."""
    match config.position:
        case "sinusoidal" | "sinusoidal_halves":
            halves = config.position == "sinusoidal_halves"
            return PositionalEncoding(config.width, config.max_length, halves=halves, name="position")
        case "learned":
            return LearnedPositions(
                config.width, config.max_length, offset=config.position_offset, name="position"
            )
        case "rotary":
            stretched = 1.0 if config.rotary_scaling is None else config.rotary_scaling.factor
            return Rotary(
                config.head_width,
                config.max_length,
                base=config.rotary_base,
                stretched=stretched,
                name="position",
            )
        case "alibi":
            return Alibi(config.heads, name="position")
        case "t5":
            return RelativeBuckets(config.heads, causal=causal, name="position")
        case "none":
            return Positions(name="position")
