"""Multi-head attention: self or cross, causal or not, with grouped heads; one class for every family."""

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
        memory: Float[Tensor, "M S D"] | None = None,
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
        multiple of M, and the memory is never copied. With `cache`, `x` holds the new tokens alone, and the memory's
        keys and values are made once.
        """
        rows, length, width = x.shape
        q = self._split(self.query(x), rows if memory is None else memory.shape[0])
        q = self.query_norm(q)
        if memory is not None:
            k, v = self._of_memory(memory, cache)
        else:
            k, v = self.key_norm(self._split(self.key(x), rows)), self._split(self.value(x), rows)
            if position is not None and positions is not None:
                q, k = position.rotate(q, positions), position.rotate(k, positions)
            if cache is not None:
                k, v = cache.extend(k, v)
        dropout = self.dropout if self.training else 0.0
        mixed = attend(q, k, v, mask=mask, causal=causal, bias=bias, dropout=dropout, tap=self.weights)
        joined: Tensor = self.output(mixed.transpose(1, 2).reshape(rows, length, width))
        return joined

    def _of_memory(self, memory: Tensor, cache: LayerCache | None) -> tuple[Tensor, Tensor]:
        if cache is not None and cache.memory is not None:
            return cache.memory
        rows = memory.shape[0]
        k = self.key_norm(self._split(self.key(memory), rows))
        v = self._split(self.value(memory), rows)
        if cache is not None:
            cache.memory = (k, v)
        return k, v

    def _split(self, x: Tensor, rows: int) -> Tensor:
        """(B, T, heads·K) to (rows, heads, B·T / rows, K)."""
        return x.view(rows, -1, x.shape[-1] // self._head_width, self._head_width).transpose(1, 2)

    @property
    def _head_width(self) -> int:
        return self.query.out_features // self.heads
