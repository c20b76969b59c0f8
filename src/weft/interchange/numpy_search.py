"""The search loop of `weft.generate` in numpy, for models that run where torch is not installed."""

import math
from bisect import insort
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from weft.config import SpecialTokens
from weft.errors import UserError
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.interchange.numpy_scores import (
    Processor,
    draw,
    highest,
    log_softmax,
    make_uniforms,
    rules_of_length,
    rules_of_repetition,
    truncate,
)

__all__ = ["Predictor", "search"]

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# What this search does not have, and the value that asks for nothing.
_NOT_THERE = {"groups": 1, "diversity": 0.0, "contrast": 0.0, "forced": ()}


class Predictor(Protocol):
    """Rows of tokens in, scores of each row's next token out; what was read before is remembered.

    The beams of a sentence are neighbouring rows, as many for each sentence.
    """

    def predict(self, tokens: Ints) -> Floats:
        """Read each row's new tokens (B, T) and give the logits (B, V) of the one that follows."""

    def reorder(self, rows: Ints) -> None:
        """Go on with these rows (R,), in this order; a row may come more than once."""

    def keep(self, sentences: Ints) -> None:
        """Only these sentences (M,) have rows from now on."""


def search(
    predictor: Predictor,
    config: SearchConfig,
    special: SpecialTokens,
    *,
    limits: Sequence[int],
    seeds: Sequence[Sequence[int]] | None = None,
    prompts: Ints | None = None,
    processors: Sequence[Processor] = (),
    tell: Callable[[int], None] | None = None,
) -> list[list[Hypothesis]]:
    """Each sentence's hypotheses, the best first, of at most as many tokens as its limit says.

    Sentences that are over leave the predictor's batch. A forced end needs one limit for all. What stands in `prompts`
    (M, P) counts as said where a rule forbids to repeat it. Sampling needs `seeds`: what is a sentence's own, its sample's
    number and its source, say, which settles its random numbers together with the configuration's seed. `processors` come
    after the configuration's own. `tell` hears each token of the first row as it is chosen, the end token too. Raises
    UserError for settings that this search has not.
    """
    _refuse(config, seeds)
    beams = Beams(config, special, limits=limits)
    repetition = rules_of_repetition(config)
    rules = [*rules_of_length(config, special, limit=max(limits)), *processors]
    uniforms = make_uniforms(seeds, seed=config.seed, limits=limits) if config.sample and seeds else None
    while True:
        scores = np.array(predictor.predict(beams.last), np.float32)  # a copy, for rules to write into
        if config.beams > 1:  # as in Hugging Face, whose other searches process logits
            scores = log_softmax(scores)
        for process in repetition:
            scores = process(beams.behind(prompts), scores)
        for process in rules:
            scores = process(beams.sofar, scores)
        if config.beams > 1:
            candidates = _best(scores, beams.totals, count=2 * config.beams)
        elif uniforms is None:
            candidates = _take(scores.argmax(1), scores, beams.totals)
        else:
            tokens = draw(truncate(scores, config), uniforms[beams.numbers, beams.length])
            candidates = _take(tokens, scores, beams.totals)
        sentences, width = beams.totals.shape
        parents = beams.advance(candidates)
        if tell is not None:
            tell(int(candidates.tokens[0, 0]))

        stay = np.flatnonzero(~beams.over)
        if not len(stay):
            return beams.hypotheses(limits)
        rows = (stay[:, None] * width + parents[stay]).ravel()
        if len(stay) < sentences:
            beams.keep(stay)
            predictor.keep(stay)
        if not np.array_equal(rows, np.arange(len(scores))):
            predictor.reorder(rows)


def _refuse(config: SearchConfig, seeds: Sequence[Sequence[int]] | None) -> None:
    wrong = [name for name, usual in _NOT_THERE.items() if getattr(config, name) != usual]
    if wrong:
        raise UserError(
            f"the search without torch does not know {', '.join(wrong)}: take the model that it was exported from"
        )
    if config.sample and not seeds:
        raise UserError("sample: there are no seeds to draw by")


class Candidates(NamedTuple):
    """Ways to go on with each of M sentences: K for each, the best first."""

    totals: Floats  # (M, K): the sum of log-probabilities, the new token's included
    logprobs: Floats  # the new token's alone
    beams: Ints
    tokens: Ints


def _best(logprobs: Floats, totals: Floats, *, count: int) -> Candidates:
    """The best of each sentence's N · V continuations; of twice the beams, enough go on even if the others end."""
    sentences = len(totals)
    top = highest(logprobs, min(count, logprobs.shape[1]))  # no beam has more among its sentence's best
    each = top.values.reshape(*totals.shape, -1)
    summed = (totals[..., None] + each).reshape(sentences, -1)
    best = np.argsort(-summed, axis=1, kind="stable")[:, :count]
    return Candidates(
        np.take_along_axis(summed, best, 1),
        np.take_along_axis(each.reshape(sentences, -1), best, 1),
        best // each.shape[-1],
        np.take_along_axis(top.indices.reshape(sentences, -1), best, 1),
    )


def _take(tokens: Ints, scores: Floats, totals: Floats) -> Candidates:
    """Each row's chosen token (B,) as its only candidate."""
    tokens = tokens[:, None]
    logprobs = np.take_along_axis(log_softmax(scores), tokens, 1)
    return Candidates(totals + logprobs, logprobs, np.zeros_like(tokens), tokens)


class Beams:
    """N running (at first one) and up to N finished hypotheses for each of M sentences, as in Hugging Face.

    Of a step's candidates the first N that do not end run on. Those that end are finished if they are among
    the first N of all, and the best N finished ones are kept.
    """

    def __init__(self, config: SearchConfig, special: SpecialTokens, *, limits: Sequence[int]) -> None:
        self.config = config
        self.end = special.end
        self.length = 0  # tokens generated so far
        self.finished: list[list[Hypothesis]] = [[] for _ in limits]  # of all sentences, the best first
        # Of the sentences that are left:
        self.numbers = np.arange(len(limits))
        self.limits = np.array(limits)
        self.longest = np.array([config.normaliser(each) for each in limits], np.float32)
        self.tokens = np.full((len(limits), 1, max(limits) + 1), special.start)  # (M, N, L + 1)
        self.logprobs = np.zeros((len(limits), 1, max(limits)), np.float32)  # (M, N, L)
        self.totals = np.zeros((len(limits), 1), np.float32)
        self.over = np.zeros(len(limits), bool)  # nothing can change their results

    @property
    def sofar(self) -> Ints:
        """Every row's tokens (B, T), the start token included."""
        return self.tokens[:, :, : self.length + 1].reshape(-1, self.length + 1)

    def behind(self, prompts: Ints | None) -> Ints:
        """Every row's tokens behind its sentence's prompt, or behind the start token where there are none."""
        if prompts is None:
            return self.sofar
        each = np.repeat(prompts[self.numbers], self.tokens.shape[1], axis=0)
        return np.concatenate((each, self.sofar[:, 1:]), axis=1)

    @property
    def last(self) -> Ints:
        """Every row's last token (B, 1)."""
        return self.tokens[:, :, self.length].reshape(-1, 1)

    def advance(self, candidates: Candidates) -> Ints:
        """Take a step; gives the beam (M, N) that each running hypothesis goes on from."""
        tokens = np.take_along_axis(self.tokens, candidates.beams[..., None], 1)  # (M, K, L + 1)
        logprobs = np.take_along_axis(self.logprobs, candidates.beams[..., None], 1)
        tokens[..., self.length + 1] = candidates.tokens
        logprobs[..., self.length] = candidates.logprobs
        self.length += 1

        ends, at_limit = candidates.tokens == self.end, self.limits == self.length
        finished = (ends | at_limit[:, None]) & (candidates.totals > -math.inf)
        scores = candidates.totals / self.config.normaliser(self.length)
        for place in zip(*finished[:, : self.config.beams].nonzero(), strict=True):
            written = tokens[place][1 : self.length + 1].tolist()
            output = written[:-1] if ends[place] else written
            logs = logprobs[place][: self.length].tolist()
            self._finish(place[0], Hypothesis(output, float(scores[place]), logs, bool(ends[place])))

        order = np.argsort(ends, axis=1, kind="stable")[:, : self.config.beams]
        self.tokens = np.take_along_axis(tokens, order[..., None], 1)
        self.logprobs = np.take_along_axis(logprobs, order[..., None], 1)
        totals = np.where(ends, -math.inf, candidates.totals)
        self.totals = np.take_along_axis(totals, order, 1)
        self.over = self._displaced_by_none() | at_limit
        return np.take_along_axis(candidates.beams, order, 1)

    def keep(self, sentences: Ints) -> None:
        """Go on with these sentences alone."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray):
                setattr(self, name, value[sentences])

    def hypotheses(self, limits: Sequence[int]) -> list[list[Hypothesis]]:
        """The finished hypotheses of each sentence that there ever was, the best first."""
        for found, limit in zip(self.finished, limits, strict=True):
            if not found:
                raise UserError(
                    f"no output of at most {limit} tokens obeys all that is banned and required: relax one of them"
                )
        return [found[: self.config.nbest] for found in self.finished]

    def _finish(self, sentence: int, hypothesis: Hypothesis) -> None:
        """Keep the best of what was finished before, which is first among equals, and of what finishes now."""
        found = self.finished[self.numbers[sentence]]
        insort(found, hypothesis, key=lambda each: -each.score)
        del found[self.config.beams :]

    def _displaced_by_none(self) -> Bools:
        """Whether no running hypothesis can, or by `early_stopping` may, displace a finished one."""
        found = [self.finished[number] for number in self.numbers]
        full = np.array([len(each) == self.config.beams for each in found])
        stopping = self.config.early_stopping
        if stopping is True or self.config.beams == 1:
            return full
        worst = np.array([each[-1].score if each else -math.inf for each in found])
        at_any_length = stopping == "never" and self.config.length_penalty > 0
        normaliser = self.longest if at_any_length else self.config.normaliser(self.length)
        none: Bools = full & (self.totals.max(1) / normaliser <= worst)
        return none
