"""Pointers: tokens may be copied from the source, or from the text so far, instead of being chosen from the vocabulary."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from weft.config import NOWHERE, ModelConfig
from weft.nn.loss import Loss

__all__ = ["Past", "PastPointer", "Pointer", "SourcePointer"]

SELDOM = -2.0  # what the gate begins with: about one token in eight is copied
LOWEST = -1e9  # a score that leaves nothing


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

    def blend(self, wanted: Tensor, written: Tensor, copied: Tensor) -> Tensor:
        """The logarithm of the mixture, of the logarithms of both its parts and of the gate before its sigmoid."""
        return torch.logaddexp(
            functional.logsigmoid(-wanted) + written, functional.logsigmoid(wanted) + copied
        )


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
        found = self.blend(wanted, written, copied.log())
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
        return self.blend(wanted, logits.float().log_softmax(-1), torch.cat(parts).log())

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
    """What was read last of each row: its tokens, and for the last S ≤ N of them, where there is a pointer, what the state
    after each is found by.
    """

    tokens: Int[Tensor, "B N"]
    keys: Float[Tensor, "B S K"]

    def select(self, rows: Int[Tensor, " R"]) -> "Past":
        """The past of these rows, in this order."""
        return Past(self.tokens[rows], self.keys[rows])


class Places(NamedTuple):
    """For each state, how well it suits each place in the past, `LOWEST` where it may not look; the token that followed
    there; and the gate before its sigmoid, closed where there is no place before.
    """

    scores: Float[Tensor, "B T S"]
    followed: Int[Tensor, "B S"]
    wanted: Float[Tensor, "B T"]


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

        `past` goes up to the last of the states. Gradients flow into the keys of these, and no further back.
        """
        keys = torch.cat([past.keys[:, : -hidden.shape[1]], self.key(hidden)], dim=1)
        scores, followed, wanted = self._find(hidden, Past(past.tokens, keys))
        right = scores.where(followed[:, None] == labels[..., None], LOWEST)
        return -self.blend(wanted, written, right.logsumexp(-1) - scores.logsumexp(-1))

    def mix(
        self, hidden: Float[Tensor, "B D"], logits: Float[Tensor, "B V"], *, past: Past
    ) -> Float[Tensor, "B V"]:
        """Logarithms of the probabilities of all tokens after the last state of each row."""
        scores, followed, wanted = self._find(hidden[:, None], past)
        copied = torch.zeros_like(logits, dtype=torch.float32)
        copied = copied.scatter_add_(1, followed, scores[:, 0].softmax(-1))
        return self.blend(wanted, logits.float().log_softmax(-1), copied.log())

    def look(self, hidden: Float[Tensor, "B T D"], past: Past) -> Float[Tensor, "B T S"]:
        """How likely each state copies each token in `past`, which goes up to the last state: what remains to one is
        chosen from the vocabulary. Nobody copies the first token of a text, which followed nothing."""
        scores, _, wanted = self._find(hidden, past)
        shares = scores.softmax(-1) * wanted.sigmoid()[..., None]
        return functional.pad(shares[..., :-1], (1, 0))

    def _find(self, hidden: Float[Tensor, "B T D"], past: Past) -> Places:
        count, size = hidden.shape[1], past.keys.shape[1]
        seen = torch.ones(count, size, dtype=torch.bool, device=hidden.device).tril(size - count - 1)
        scores = (self.query(hidden) @ past.keys.mT).float() * self.scale
        wanted = self.gate(hidden)[..., 0].float().masked_fill(~seen.any(-1), LOWEST)
        followed = past.tokens[:, past.tokens.shape[1] - size + 1 :]
        return Places(scores.where(seen, LOWEST), functional.pad(followed, (0, 1)), wanted)
