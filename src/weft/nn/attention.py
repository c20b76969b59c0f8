"""Multi-head attention: self or cross, causal or not, with grouped heads; one class for every family."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from weft.config import RMS_EPSILON, ModelConfig
from weft.nn.cache import LayerCache
from weft.nn.kernels import attend
from weft.nn.masks import Run
from weft.nn.norms import RMSNorm
from weft.nn.positions import Position, Positions
from weft.nn.taps import Tap

__all__ = ["Attention"]


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2), with grouped keys and values (Ainslie et al. 2023).

    Queries and keys may be normalised head by head (Henry et al. 2020), which needs no bound on the learning rate.
    Query, key and value projections are separate matrices: an optimizer that orthogonalises each must not see them
    stacked. Where nothing is trained, `join` has one product do for the three.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.groups = config.groups
        self.dropout = config.attention_dropout
        self.head_width = config.head_width
        bias = config.bias if config.query_key_value_bias is None else config.query_key_value_bias
        inner = self.heads * config.head_width
        self.query = nn.Linear(config.width, inner, bias=bias)
        self.key = nn.Linear(config.width, self.groups * config.head_width, bias=bias)
        self.value = nn.Linear(config.width, self.groups * config.head_width, bias=bias)
        self.output = nn.Linear(inner, config.width, bias=config.bias)
        norm = partial(RMSNorm, config.head_width, scale=True, epsilon=config.norm_epsilon or RMS_EPSILON)
        self.query_norm = norm() if config.query_key_norm else nn.Identity()
        self.key_norm = norm() if config.query_key_norm else nn.Identity()
        self.weights = Tap()
        self.joined: nn.Module | None = None

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        memory: Float[Tensor, "M S D"] | Sequence[Float[Tensor, "_ _ D"]] | None = None,
        *,
        position: Position | None = None,
        positions: Positions | None = None,
        mask: Bool[Tensor, "#M 1 #T S"] | None = None,
        causal: bool = False,
        bias: Float[Tensor, "H _ _"] | None = None,
        runs: Sequence[Run] = (),
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Attend from `x` to itself, or to `memory`.

        With `memory`, each of its M rows may serve several neighbouring rows of `x` (the beams of a sentence): B is a
        multiple of M, and the memory is never copied. Memories of different lengths S come as several, whose rows
        follow each other in `x`. With `cache`, `x` holds the new tokens alone, and the memory's keys and values are
        made once. With `runs`, each of the texts in the one row of `x` attends to itself.
        """
        rows, length, _ = x.shape
        dropout = self.dropout if self.training else 0.0
        attending = partial(attend, mask=mask, causal=causal, bias=bias, dropout=dropout, tap=self.weights)
        if memory is not None:
            kept = self._of_memory([memory] if isinstance(memory, Tensor) else memory, cache)
            beams = rows // sum(len(k) for k, _ in kept)
            parts = self.query(x).split([beams * len(k) for k, _ in kept])
            mixed = [
                attending(self.query_norm(self._split(part, len(k))), k, v)
                for part, (k, v) in zip(parts, kept, strict=True)
            ]
        else:
            at = slice(length) if positions is None else positions
            q, k, v = self._of_itself(x, position or Position(), at)
            if cache is not None:
                k, v = cache.extend(k, v)
            mixed = [attending(q, k, v, runs=runs)]
        joined = [part.transpose(1, 2).reshape(-1, length, self.heads * self.head_width) for part in mixed]
        out: Tensor = self.output(joined[0] if len(joined) == 1 else torch.cat(joined))
        return out

    def join(self, projection: nn.Module) -> None:
        """Let `projection` give queries, keys and values, one after the other, for attention to `x` itself."""
        self.joined = projection
        norms = [self.query_norm] * self.heads + [self.key_norm] * self.groups
        scales = [norm.weight for norm in norms if isinstance(norm, RMSNorm) and norm.weight is not None]
        self.query_key_norm = RMSNorm(self.head_width, scale=True) if scales else nn.Identity()
        if scales:
            self.query_key_norm.weight = nn.Parameter(
                torch.stack(list[Tensor](scales))[:, None]
            )  # (H + G, 1, K)
        del self.query, self.key, self.value, self.query_norm, self.key_norm

    def _of_itself(
        self, x: Tensor, position: Position, positions: Positions
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, H, T, K), keys and values (B, G, T, K) of the tokens themselves."""
        rows = len(x)
        if self.joined is None:
            q = self.query_norm(self._split(self.query(x), rows))
            k = self.key_norm(self._split(self.key(x), rows))
            v = self._split(self.value(x), rows)
            return position.rotate(q, positions), position.rotate(k, positions), v
        every = self._split(self.joined(x), rows)  # (B, H + 2 G, T, K)
        both, v = torch.split(every, [self.heads + self.groups, self.groups], dim=1)
        both = position.rotate(self.query_key_norm(both), positions)
        q, k = torch.split(both, [self.heads, self.groups], dim=1)
        return q, k, v

    def _of_memory(
        self, memories: Sequence[Tensor], cache: LayerCache | None
    ) -> Sequence[tuple[Tensor, Tensor]]:
        if cache is not None and cache.memory is not None:
            return cache.memory
        made = [
            (
                self.key_norm(self._split(self.key(memory), len(memory))),
                self._split(self.value(memory), len(memory)),
            )
            for memory in memories
        ]
        if cache is not None:
            # Laid out as they are once rows have left: kernels round by how their input lies in memory.
            made = [(k.contiguous(), v.contiguous()) for k, v in made]
            cache.memory = made
        return made

    def _split(self, x: Tensor, rows: int) -> Tensor:
        """(B, T, heads·K) to (rows, heads, B·T / rows, K)."""
        return x.view(rows, -1, x.shape[-1] // self.head_width, self.head_width).transpose(1, 2)
