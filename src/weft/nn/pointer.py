"""The pointer: tokens may be copied from the source instead of being chosen from the vocabulary (See et al. 2017, 2.2)."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from weft.config import ModelConfig
from weft.nn.loss import Loss

__all__ = ["Pointer"]

SELDOM = -2.0  # what the gate begins with: about one token in eight is copied
NOWHERE = 1e-20  # the probability of copying what does not stand in the source


class Pointer(nn.Module):
    """p(token) = (1 − g) · p(token | vocabulary) + g · what attention gives to the token's places in the source.

    The attention is one of its own, of one head; the gate g is a number of each state.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.query = nn.Linear(config.width, config.head_width, bias=False)
        self.key = nn.Linear(config.width, config.head_width, bias=False)
        self.gate = nn.Linear(config.width, 1)
        self.scale = 1 / math.sqrt(config.head_width)

    def loss(
        self,
        hidden: Float[Tensor, "B T D"],
        labels: Int[Tensor, "B T"],
        *,
        memory: Float[Tensor, "B S D"],
        source: Int[Tensor, "B S"],
        keep: Bool[Tensor, "B S"] | None,
        counted: Bool[Tensor, "B T"],
        logits: Float[Tensor, "N V"],
        smoothing: float,
    ) -> Loss:
        """The summed negative log-likelihood in nats of the labels that are `counted`, whose `logits` stand in a row each.

        Labels are smoothed over the vocabulary alone.
        """
        places = self._look(hidden, self.key(memory), keep)
        copied = (places * (source[:, None] == labels[..., None])).sum(-1)[counted].clamp_min(NOWHERE)
        wanted = self.gate(hidden)[counted][:, 0].float()
        scores = logits.float().log_softmax(-1)
        written = scores.gather(-1, labels[counted][:, None])[:, 0]
        found = torch.logaddexp(
            functional.logsigmoid(-wanted) + written, functional.logsigmoid(wanted) + copied.log()
        )
        total = -(1 - smoothing) * found.sum() - smoothing * scores.mean(-1).sum()
        return Loss(total, len(written))

    def keys(self, memory: Float[Tensor, "M S D"]) -> Float[Tensor, "M S K"]:
        """What the source's tokens are found by."""
        keys: Tensor = self.key(memory)
        return keys

    def mix(
        self,
        hidden: Float[Tensor, "B D"],
        logits: Float[Tensor, "B V"],
        *,
        keys: Float[Tensor, "M S K"],
        source: Int[Tensor, "M S"],
    ) -> Float[Tensor, "B V"]:
        """Logarithms of the probabilities of all tokens, each source being that of B / M neighbouring rows."""
        rows = hidden.view(len(keys), -1, hidden.shape[-1])
        places = self._look(rows, keys, None)
        copied = torch.zeros(logits.shape, device=logits.device).view(*rows.shape[:2], -1)
        copied.scatter_add_(2, source[:, None].expand(-1, rows.shape[1], -1), places)
        wanted = self.gate(hidden).float()
        written = functional.logsigmoid(-wanted) + logits.float().log_softmax(-1)
        return torch.logaddexp(written, functional.logsigmoid(wanted) + copied.view(logits.shape).log())

    def _look(
        self, hidden: Float[Tensor, "M T D"], keys: Float[Tensor, "M S K"], keep: Bool[Tensor, "M S"] | None
    ) -> Float[Tensor, "M T S"]:
        scores: Tensor = (self.query(hidden) @ keys.transpose(1, 2)).float() * self.scale
        if keep is not None:
            scores = scores.masked_fill(~keep[:, None], -torch.inf)
        return scores.softmax(-1)
