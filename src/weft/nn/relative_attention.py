"""Attention with relative positions whose weight depends on the content (Dai et al. 2019)."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from weft.config import ModelConfig
from weft.nn.kernels import attend
from weft.nn.taps import Tap

__all__ = ["RelativeAttention", "by_distance", "sinusoids"]


def sinusoids(distances: Int[Tensor, " S"], *, width: int) -> Float[Tensor, "S D"]:
    """All sines before all cosines of geometrically growing wavelengths, for each distance (Dai et al. 2019, section 3.3).

    In float32, as the reference computes them: what a trained model learned is what they are in that precision.
    """
    exponents = torch.arange(0.0, width, 2.0, device=distances.device) / width
    angles = distances.float()[:, None] * (1 / 10000.0**exponents)  # (S, D/2)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def by_distance(scores: Float[Tensor, "B H T S"]) -> Float[Tensor, "B H T S"]:
    """Scores of distances, from S - 1 down to 0, to scores of keys: query i's begin T - 1 - i further to the right.

    One copy moves all rows at once (Dai et al. 2019, appendix B): with a column in front, each row of S numbers begins
    one number later than the one before. What lands on later keys means nothing, and is the mask's to hide.
    """
    batch, heads, queries, keys = scores.shape
    padded = torch.cat([scores.new_zeros(batch, heads, queries, 1), scores], dim=-1)  # (B, H, T, S + 1)
    return padded.view(batch, heads, keys + 1, queries)[:, :, 1:].reshape(batch, heads, queries, keys)


class RelativeAttention(nn.Module):
    """softmax(((q + u) kᵀ + (q + v) rᵀ) / √K) v over a segment and the memory before it (Dai et al. 2019, section 3.3).

    r is the distance's own projection, and u and v, learned and maybe shared by all layers, stand for where a query would
    stand. No projection has a bias.
    """

    def __init__(
        self, config: ModelConfig, *, content_bias: nn.Parameter, distance_bias: nn.Parameter
    ) -> None:
        super().__init__()
        self.heads = config.heads
        self.head_width = config.head_width
        self.dropout = config.attention_dropout
        inner = config.heads * config.head_width
        self.query = nn.Linear(config.width, inner, bias=False)
        self.key = nn.Linear(config.width, inner, bias=False)
        self.value = nn.Linear(config.width, inner, bias=False)
        self.distance = nn.Linear(config.width, inner, bias=False)
        self.output = nn.Linear(inner, config.width, bias=False)
        self.content_bias = content_bias  # (H, K)
        self.distance_bias = distance_bias
        self.weights = Tap()

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        memory: Float[Tensor, "B M D"],
        *,
        distances: Float[Tensor, "S D"],
        mask: Bool[Tensor, "1 1 #T S"] | None,
    ) -> Float[Tensor, "B T D"]:
        """Attend from `x` to `memory` and itself, of S tokens together; `distances` are encoded from S - 1 down to 0."""
        k, v = self.read(torch.cat([memory, x], dim=1))
        return self.look(x, k, v, self.project(distances), mask=mask)

    def read(
        self, states: Float[Tensor, "B S D"]
    ) -> tuple[Float[Tensor, "B H S K"], Float[Tensor, "B H S K"]]:
        """Their keys and values."""
        return self._split(self.key(states)), self._split(self.value(states))

    def project(self, distances: Float[Tensor, "S D"]) -> Float[Tensor, "1 H S K"]:
        """What is looked for at each distance."""
        return self._split(self.distance(distances)[None])

    def look(
        self,
        x: Float[Tensor, "B T D"],
        k: Float[Tensor, "B H S K"],
        v: Float[Tensor, "B H S K"],
        r: Float[Tensor, "1 H S K"],
        *,
        mask: Bool[Tensor, "1 1 #T S"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Attend from `x`, the last T of S tokens, whose keys and values are there, and what is at the distances."""
        q = self._split(self.query(x))
        far = by_distance((q + self.distance_bias[:, None]) @ r.mT) * self.head_width**-0.5
        mixed = attend(
            q + self.content_bias[:, None],
            k,
            v,
            mask=mask,
            bias=far,
            dropout=self.dropout if self.training else 0.0,
            tap=self.weights,
        )
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, H·K) to (B, H, T, K)."""
        return x.view(*x.shape[:-1], self.heads, self.head_width).transpose(1, 2)
