"""Multi-head attention: self or cross, causal or not, with grouped heads; one class for every family."""

from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from weft.config import ModelConfig
from weft.nn.cache import LayerCache
from weft.nn.kernels import attend
from weft.nn.norms import RMSNorm
from weft.nn.positions import Position
from weft.nn.taps import Tap

__all__ = ["Attention"]


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2.2), with grouped keys and values (Ainslie et al. 2023).

    Queries and keys may be normalised head by head (Henry et al. 2020), which needs no bound on the learning rate.
    Query, key and value projections are separate matrices: an optimizer that orthogonalises each must not see them stacked.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.groups = config.kv_heads or config.heads
        self.dropout = config.attention_dropout
        inner = self.groups * config.head_width
        self.query = nn.Linear(config.width, config.width, bias=config.bias)
        self.key = nn.Linear(config.width, inner, bias=config.bias)
        self.value = nn.Linear(config.width, inner, bias=config.bias)
        self.output = nn.Linear(config.width, config.width, bias=config.bias)
        normalise = config.query_key_norm
        self.query_norm = RMSNorm(config.head_width, scale=True) if normalise else nn.Identity()
        self.key_norm = RMSNorm(config.head_width, scale=True) if normalise else nn.Identity()
        self.weights = Tap()

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        memory: Float[Tensor, "M S D"] | Sequence[Float[Tensor, "_ _ D"]] | None = None,
        *,
        position: Position | None = None,
        positions: Int[Tensor, "*B T"] | None = None,
        mask: Bool[Tensor, "#M 1 #T S"] | None = None,
        causal: bool = False,
        bias: Float[Tensor, "H T S"] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Attend from `x` to itself, or to `memory`.

        With `memory`, each of its M rows may serve several neighbouring rows of `x` (the beams of a sentence): B is a
        multiple of M, and the memory is never copied. Memories of different lengths S come as several, whose rows
        follow each other in `x`. With `cache`, `x` holds the new tokens alone, and the memory's keys and values are
        made once.
        """
        rows, length, width = x.shape
        q = self.query(x)
        dropout = self.dropout if self.training else 0.0
        attending = partial(attend, mask=mask, causal=causal, bias=bias, dropout=dropout, tap=self.weights)
        if memory is not None:
            kept = self._of_memory([memory] if isinstance(memory, Tensor) else memory, cache)
            beams = rows // sum(len(k) for k, _ in kept)
            parts = q.split([beams * len(k) for k, _ in kept])
            mixed = [
                attending(self.query_norm(self._split(part, len(k))), k, v)
                for part, (k, v) in zip(parts, kept, strict=True)
            ]
        else:
            q = self.query_norm(self._split(q, rows))
            k, v = self.key_norm(self._split(self.key(x), rows)), self._split(self.value(x), rows)
            if position is not None and positions is not None:
                q, k = position.rotate(q, positions), position.rotate(k, positions)
            if cache is not None:
                k, v = cache.extend(k, v)
            mixed = [attending(q, k, v)]
        joined = [part.transpose(1, 2).reshape(-1, length, width) for part in mixed]
        out: Tensor = self.output(joined[0] if len(joined) == 1 else torch.cat(joined))
        return out

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
        return x.view(rows, -1, x.shape[-1] // self._head_width, self._head_width).transpose(1, 2)

    @property
    def _head_width(self) -> int:
        return self.query.out_features // self.heads
