"""Pointers: tokens may be copied from the source, or from the text so far, instead of being chosen from the vocabulary."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from weft.config import ModelConfig
from weft.nn.loss import Loss

__all__ = ["Past", "PastPointer", "Pointer", "SourcePointer"]

SELDOM = -2.0  # what the gate begins with: about one token in eight is copied
LOWEST = -1e9  # a score that leaves nothing
NOWHERE = 1e-20  # the probability of copying what does not stand in the source


class Pointer(nn.Module):
    """p(token) = (1 − g) · p(token | vocabulary) + g · what attention gives to the token's places.

    The attention is one of its own, of one head; the gate g is a number of each state (See et al. 2017, section 2.2).
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.query = nn.Linear(config.width, config.head_width, bias=False)
        self.key = nn.Linear(config.width, config.head_width, bias=False)
        self.gate = nn.Linear(config.width, 1)
        self.scale = 1 / math.sqrt(config.head_width)


class SourcePointer(Pointer):
    """Copies what stands in the source."""

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
        places = self.look(hidden, memory, keep)
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
        sources: Sequence[tuple[Float[Tensor, "_ _ K"], Int[Tensor, "_ _"]]],
    ) -> Float[Tensor, "B V"]:
        """Logarithms of the probabilities of all tokens. `sources` are the keys and the tokens of those of each length, one
        length after the other; each source is that of as many neighbouring rows.
        """
        beams = len(hidden) // sum(len(keys) for keys, _ in sources)
        asked = torch.split(self.query(hidden), [beams * len(keys) for keys, _ in sources])
        parts = []
        for queries, (keys, source) in zip(asked, sources, strict=True):
            places = self._attend(queries.view(len(keys), beams, -1), keys, None)
            copied = torch.zeros(len(keys), beams, logits.shape[-1], device=logits.device)
            parts.append(copied.scatter_add_(2, source[:, None].expand(-1, beams, -1), places).flatten(0, 1))
        wanted = self.gate(hidden).float()
        written = functional.logsigmoid(-wanted) + logits.float().log_softmax(-1)
        return torch.logaddexp(written, functional.logsigmoid(wanted) + torch.cat(parts).log())

    def look(
        self, hidden: Float[Tensor, "M T D"], memory: Float[Tensor, "M S D"], keep: Bool[Tensor, "M S"] | None
    ) -> Float[Tensor, "M T S"]:
        """Where in the source each state would copy from."""
        return self._attend(self.query(hidden), self.key(memory), keep)

    def _attend(
        self, queries: Float[Tensor, "M T K"], keys: Float[Tensor, "M S K"], keep: Bool[Tensor, "M S"] | None
    ) -> Float[Tensor, "M T S"]:
        scores: Tensor = (queries @ keys.transpose(1, 2)).float() * self.scale
        if keep is not None:
            scores = scores.masked_fill(~keep[:, None], -torch.inf)
        return scores.softmax(-1)


class Past(NamedTuple):
    """The last tokens of each row, and what the pointer finds the places after the last of them by, if there is one."""

    tokens: Int[Tensor, "B N"]
    keys: Float[Tensor, "B S K"]

    def select(self, rows: Int[Tensor, " R"]) -> "Past":
        """The past of these rows, in this order."""
        return Past(self.tokens[rows], self.keys[rows])


class PastPointer(Pointer):
    """Copies what followed in the text itself where the model was in a state like this one (Merity et al. 2017; Grave et
    al. 2017), however long ago: it knows no distances."""

    def token_losses(
        self,
        hidden: Float[Tensor, "B T D"],
        labels: Int[Tensor, "B T"],
        *,
        written: Float[Tensor, "B T"],
        past: Past,
    ) -> Float[Tensor, "B T"]:
        """The negative log-likelihood in nats of each label, whose logarithm in the vocabulary alone is `written`.

        `past` goes up to the last of the states; no gradient flows into what was found by its keys before them.
        """
        keys = torch.cat([past.keys[:, : -hidden.shape[1]], self.key(hidden)], dim=1)
        scores, wanted, followed = self._find(hidden, keys, past.tokens)
        copied = scores.where(followed[:, None] == labels[..., None], LOWEST).logsumexp(-1)
        copied = copied - scores.logsumexp(-1)
        return -torch.logaddexp(
            functional.logsigmoid(-wanted) + written, functional.logsigmoid(wanted) + copied
        )

    def mix(
        self, hidden: Float[Tensor, "B D"], logits: Float[Tensor, "B V"], *, past: Past
    ) -> Float[Tensor, "B V"]:
        """Logarithms of the probabilities of all tokens after the last state of each row."""
        scores, wanted, followed = self._find(hidden[:, None], past.keys, past.tokens)
        places = torch.zeros_like(logits, dtype=torch.float32)
        places = places.scatter_add_(1, followed, scores[:, 0].softmax(-1))
        written = functional.logsigmoid(-wanted) + logits.float().log_softmax(-1)
        return torch.logaddexp(written, functional.logsigmoid(wanted) + places.log())

    def look(self, hidden: Float[Tensor, "B T D"], past: Past) -> Float[Tensor, "B T S"]:
        """Each token's share of what each state would copy, if it copied; `past` goes up to the last state. The first token
        of a text follows nothing, and is no state's to copy; the first state has nothing to copy at all."""
        size = past.keys.shape[1]
        scores, wanted, _ = self._find(hidden, past.keys, past.tokens)
        shares = scores.softmax(-1).masked_fill((wanted == LOWEST)[..., None], 0.0)
        return functional.pad(shares[..., : size - 1], (1, 0))

    def _find(
        self, hidden: Float[Tensor, "B T D"], keys: Float[Tensor, "B S K"], tokens: Int[Tensor, "B N"]
    ) -> tuple[Float[Tensor, "B T S"], Float[Tensor, "B T"], Int[Tensor, "B S"]]:
        """How well each place suits each state, of those before it; how much is to be copied; what followed the places."""
        count, size = hidden.shape[1], keys.shape[1]
        seen = torch.ones(count, size, dtype=torch.bool, device=hidden.device).tril(size - count - 1)
        scores = (self.query(hidden) @ keys.mT).float() * self.scale
        wanted = self.gate(hidden)[..., 0].float().masked_fill(~seen.any(-1), LOWEST)
        followed = functional.pad(tokens[:, tokens.shape[1] - size + 1 :], (0, 1))
        return scores.where(seen, LOWEST), wanted, followed
