"""Position schemes. Each enters a model by one of three hooks, and the hooks of the base class do nothing."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from weft.config import BUCKETS, FARTHEST, ModelConfig, RotaryScaling

Positions = Int[Tensor, "*B T"] | slice
"""The positions of tokens: a slice where each row has the same and they follow each other, which costs no look-up."""

__all__ = [
    "Alibi",
    "Learned",
    "Position",
    "Positions",
    "RelativeBuckets",
    "Rotary",
    "Sinusoidal",
    "make_position",
]


class Position(nn.Module):
    """No positions at all, and the interface of every scheme."""

    def embed(self, x: Float[Tensor, "B T D"], positions: Positions) -> Float[Tensor, "B T D"]:
        """Add positions to the embedded tokens."""
        return x

    def rotate(self, x: Float[Tensor, "B H T K"], positions: Positions) -> Float[Tensor, "B H T K"]:
        """Turn the queries or the keys of self-attention."""
        return x

    def bias(self, queries: Int[Tensor, " T"], keys: Int[Tensor, " S"]) -> Float[Tensor, "H T S"] | None:
        """Something to add to the scores of self-attention."""
        return None


class Sinusoidal(Position):
    """Fixed sines and cosines of geometrically growing wavelengths (Vaswani et al. 2017, section 3.5).

    `halves` puts all sines before all cosines, as Marian does, where the paper lets them alternate.
    """

    table: Tensor

    def __init__(self, width: int, *, max_length: int, halves: bool = False) -> None:
        super().__init__()
        # Computed in double precision, as the references do: float32 angles are off by 1e-5 after a few hundred steps.
        rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
        angles = torch.arange(max_length, dtype=torch.float64)[:, None] * rates  # (max_length, D/2)
        both = (angles.sin(), angles.cos())
        table = torch.cat(both, dim=-1) if halves else torch.stack(both, dim=-1).flatten(1)
        self.register_buffer("table", table.float(), persistent=False)

    def embed(self, x: Float[Tensor, "B T D"], positions: Positions) -> Float[Tensor, "B T D"]:
        return x + _at(self.table, positions).to(x.dtype)


class Learned(Position):
    """One trained vector for each position (Gehring et al. 2017), the first of them at row `offset` of the table.

    RoBERTa's table begins with two rows that no token uses.
    """

    def __init__(self, width: int, *, max_length: int, offset: int = 0) -> None:
        super().__init__()
        self.offset = offset
        self.table = nn.Embedding(max_length + offset, width)

    def embed(self, x: Float[Tensor, "B T D"], positions: Positions) -> Float[Tensor, "B T D"]:
        if isinstance(positions, slice):
            rows = slice(positions.start + self.offset, positions.stop + self.offset)
            return x + _at(self.table.weight, rows)
        vectors: Tensor = self.table(positions + self.offset)
        return x + vectors


class Rotary(Position):
    """Queries and keys turned by angles that grow with the position (Su et al. 2021, section 3.2).

    Number i is paired with number i + K/2, as published checkpoints have it, where the paper pairs neighbours.
    """

    cosines: Tensor
    sines: Tensor

    def __init__(
        self,
        head_width: int,
        *,
        max_length: int,
        base: float = 10_000.0,
        scaling: RotaryScaling | None = None,
    ) -> None:
        super().__init__()
        rates = base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
        sharper = 1.0
        if scaling is not None:
            rates, sharper = _scaled(rates, scaling), scaling.attention
        angles = (torch.arange(max_length, dtype=torch.float64)[:, None] * rates).repeat(
            1, 2
        )  # (max_length, K)
        signs = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat_interleave(head_width // 2)
        self.register_buffer("cosines", (angles.cos() * sharper).float(), persistent=False)
        self.register_buffer("sines", (angles.sin() * signs * sharper).float(), persistent=False)

    def rotate(self, x: Float[Tensor, "B H T K"], positions: Positions) -> Float[Tensor, "B H T K"]:
        cosines, sines = (_at(table, positions).to(x.dtype) for table in (self.cosines, self.sines))
        if cosines.dim() == 3:  # a row each has its own positions
            cosines, sines = cosines[:, None], sines[:, None]
        half = x.shape[-1] // 2
        return torch.addcmul(x * cosines, x.roll(half, -1), sines)


def _scaled(rates: Float[Tensor, " J"], scaling: RotaryScaling) -> Float[Tensor, " J"]:
    """The K/2 angles from one position to the next, made smaller where they turn seldom within the original length."""
    turns = scaling.original_length * rates / (2 * math.pi)
    match scaling.kind:
        case "linear":
            kept = torch.zeros_like(rates)
        case "llama3":
            kept = (turns - scaling.slow) / (scaling.fast - scaling.slow)
        case "yarn":  # a ramp over the dimensions, between those that turn `fast` and `slow` times
            places = torch.arange(len(rates), dtype=rates.dtype)
            step = rates[0].log() - rates[1].log()
            first, last = (
                math.log(scaling.original_length / (2 * math.pi * count)) / step
                for count in (scaling.fast, scaling.slow)
            )
            first, last = first.floor().clamp(min=0), last.ceil().clamp(max=2 * len(rates) - 1)
            kept = 1 - (places - first) / (last - first).clamp(min=0.001)
    kept = kept.clamp(0, 1)
    return rates * (kept + (1 - kept) / scaling.factor)


class Alibi(Position):
    """A penalty that grows linearly with the distance, steeper for some heads (Press et al. 2022, section 3).

    Bidirectional attention takes the absolute distance, an extension that the authors describe in their repository.
    """

    slopes: Tensor

    def __init__(self, heads: int) -> None:
        super().__init__()
        whole = 2 ** math.floor(math.log2(heads))
        slopes = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
        slopes += [2 ** (-4 * (2 * i + 1) / whole) for i in range(heads - whole)]
        self.register_buffer("slopes", torch.tensor(slopes), persistent=False)

    def bias(self, queries: Int[Tensor, " T"], keys: Int[Tensor, " S"]) -> Float[Tensor, "H T S"]:
        distance = (queries[:, None] - keys[None, :]).abs()
        return -self.slopes[:, None, None] * distance


class RelativeBuckets(Position):
    """A trained bias for each head and bucket of distances, exact when near and logarithmic when far
    (Raffel et al. 2020, section 2.1)."""

    def __init__(self, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.table = nn.Embedding(BUCKETS, heads)

    def bias(self, queries: Int[Tensor, " T"], keys: Int[Tensor, " S"]) -> Float[Tensor, "H T S"]:
        ahead = keys[None, :] - queries[:, None]  # (T, S)
        buckets = BUCKETS if self.causal else BUCKETS // 2
        side = torch.zeros_like(ahead) if self.causal else (ahead > 0).long() * buckets
        distance = (-ahead).clamp(min=0) if self.causal else ahead.abs()
        exact = buckets // 2
        logarithm = torch.log(distance.clamp(min=1).float() / exact) / math.log(FARTHEST / exact)
        far = (exact + (logarithm * (buckets - exact)).long()).clamp(max=buckets - 1)
        vectors: Tensor = self.table(side + torch.where(distance < exact, distance, far))
        return vectors.permute(2, 0, 1)


def _at(table: Float[Tensor, "L D"], positions: Positions) -> Float[Tensor, "*B T D"]:
    if isinstance(positions, slice) and positions.stop > len(table):  # which a slice would not say
        raise IndexError(
            f"position {positions.stop - 1}: the last one that the model takes is {len(table) - 1}"
        )
    return table[positions]


def make_position(config: ModelConfig, *, causal: bool) -> Position:
    """The position scheme that a configuration names, for one stack."""
    match config.position:
        case "sinusoidal" | "sinusoidal_halves":
            halves = config.position == "sinusoidal_halves"
            return Sinusoidal(config.width, max_length=config.max_length, halves=halves)
        case "learned":
            return Learned(config.width, max_length=config.max_length, offset=config.position_offset)
        case "rotary":
            return Rotary(
                config.head_width,
                max_length=config.max_length,
                base=config.rotary_base,
                scaling=config.rotary_scaling,
            )
        case "alibi":
            return Alibi(config.heads)
        case "t5":
            return RelativeBuckets(config.heads, causal=causal)
        case "none":
            return Position()
