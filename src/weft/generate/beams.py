"""The bookkeeping of a search: what runs, what is finished, and which sentences are over."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from weft.config import SpecialTokens
from weft.errors import UserError
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis

__all__ = ["Beams", "Candidates"]


class Candidates(NamedTuple):
    """Ways to go on with each of M sentences: K for each, in the order in which they are taken."""

    totals: Float[Tensor, "M K"]  # the sum of log-probabilities, the new token's included
    logprobs: Float[Tensor, "M K"]  # the new token's alone
    beams: Int[Tensor, "M K"]
    tokens: Int[Tensor, "M K"]


class Beams:
    """N running (at first one) and up to N finished hypotheses for each of M sentences, as in Hugging Face.

    Of a step's candidates the first N that do not end run on. Those that end are finished if they are among
    the first N of all, and the best N finished ones are kept.
    """

    def __init__(
        self,
        config: SearchConfig,
        special: SpecialTokens,
        *,
        limits: Sequence[int],
        device: torch.device,
    ) -> None:
        sentences, limit = len(limits), max(limits)
        self.config = config
        self.end = special.end
        self.limits = torch.tensor(limits, device=device)
        self.longest = torch.tensor([config.normaliser(each) for each in limits], device=device)
        self.length = 0  # tokens generated so far
        self.tokens = torch.full((sentences, 1, limit + 1), special.start, device=device)
        self.logprobs = torch.zeros((sentences, 1, limit), device=device)
        self.totals = torch.zeros((sentences, 1), device=device)
        shape = (sentences, config.beams)
        self.finished_tokens = self.tokens.expand(*shape, -1)
        self.finished_logprobs = self.logprobs.expand(*shape, -1)
        self.finished_lengths = torch.zeros(shape, dtype=torch.long, device=device)
        self.finished_scores = torch.full(shape, -math.inf, device=device)  # the best first
        self.over = torch.zeros(
            sentences, dtype=torch.bool, device=device
        )  # nothing can change their results

    @property
    def sofar(self) -> Int[Tensor, "B T"]:
        """Every row's tokens, the start token included."""
        return self.tokens[:, :, : self.length + 1].flatten(0, 1)

    def behind(self, prompts: Int[Tensor, "M P"] | None) -> Int[Tensor, "B T"]:
        """Every row's tokens behind its sentence's prompt, or behind the start token where there are none."""
        if prompts is None:
            return self.sofar
        return torch.cat([prompts.repeat_interleave(self.tokens.shape[1], 0), self.sofar[:, 1:]], dim=1)

    @property
    def last(self) -> Int[Tensor, "B 1"]:
        """Every row's last token."""
        return self.tokens[:, :, self.length].reshape(-1, 1)

    def advance(self, candidates: Candidates) -> Int[Tensor, "M N"]:
        """Take a step; gives the beam that each running hypothesis goes on from."""
        ends = candidates.tokens == self.end
        first = Candidates(*(field[:, : self.config.beams] for field in candidates))
        finished = ends[:, : self.config.beams] | self.limits.eq(self.length + 1)[:, None]
        finished = finished & (first.totals > -math.inf)
        if finished.any():
            self._finish(first, finished)
        running = candidates
        if ends.shape[1] > self.config.beams:  # there are as many that do not end
            order = ends.byte().sort(dim=1, stable=True).indices[:, : self.config.beams]
            running = Candidates(*(field.gather(1, order) for field in candidates))
        self.totals = running.totals.masked_fill(running.tokens == self.end, -math.inf)
        self.tokens, self.logprobs = self._extended(running)
        self.length += 1
        self.over = self.over | self._is_over()
        return running.beams

    def keep(self, sentences: Int[Tensor, " R"]) -> None:
        """Go on with these sentences alone."""
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(self, name, value.index_select(0, sentences))

    def hypotheses(self, sentence: int) -> list[Hypothesis]:
        """A sentence's finished hypotheses, the best first."""
        rows = (self.finished_scores, self.finished_lengths, self.finished_tokens, self.finished_logprobs)
        found = []
        for score, length, tokens, logprobs in zip(*(row[sentence].tolist() for row in rows), strict=True):
            if score > -math.inf:
                ended = tokens[length] == self.end
                output = tokens[1 : length if ended else length + 1]
                found.append(Hypothesis(output, score, logprobs[:length], ended))
        if not found:
            raise UserError(
                f"no output of at most {int(self.limits[sentence])} tokens obeys all that is banned, forced and required: "
                "relax one of them"
            )
        return found[: self.config.nbest]

    def _extended(self, candidates: Candidates) -> tuple[Int[Tensor, "M K L+1"], Float[Tensor, "M K L"]]:
        """The candidates' beams with their new tokens, and the log-probabilities of both."""
        tokens, logprobs = self.tokens, self.logprobs
        if self.config.beams > 1:  # else each goes on from itself: long texts are not copied at each token
            tokens = tokens.take_along_dim(candidates.beams[..., None], 1)
            logprobs = logprobs.take_along_dim(candidates.beams[..., None], 1)
        tokens[:, :, self.length + 1] = candidates.tokens
        logprobs[:, :, self.length] = candidates.logprobs
        return tokens, logprobs

    def _finish(self, candidates: Candidates, finished: Bool[Tensor, "M N"]) -> None:
        """Keep the best of what was finished before and of what finishes now, unless its sentence is over."""
        scores = candidates.totals / self.config.normaliser(self.length + 1)
        scores = scores.masked_fill(~finished | self.over[:, None], -math.inf)
        self.finished_scores, best = torch.cat((self.finished_scores, scores), 1).topk(self.config.beams)
        lengths = torch.full_like(candidates.tokens, self.length + 1)
        self.finished_lengths = torch.cat((self.finished_lengths, lengths), 1).gather(1, best)
        tokens, logprobs = self._extended(candidates)
        best = best[..., None]
        self.finished_tokens = torch.cat((self.finished_tokens, tokens), 1).take_along_dim(best, 1)
        self.finished_logprobs = torch.cat((self.finished_logprobs, logprobs), 1).take_along_dim(best, 1)

    def _is_over(self) -> Bool[Tensor, " M"]:
        """Whether no running hypothesis can, or by `early_stopping` may, displace a finished one."""
        worst = self.finished_scores[:, -1]
        full = worst > -math.inf
        at_limit = self.limits.eq(self.length)
        stopping = self.config.early_stopping
        if stopping is True or self.config.beams == self.config.groups == 1:
            return full | at_limit
        at_any_length = stopping == "never" and self.config.length_penalty > 0
        normaliser = self.longest if at_any_length else self.config.normaliser(self.length)
        return (full & (self.totals.amax(1) / normaliser <= worst)) | at_limit
