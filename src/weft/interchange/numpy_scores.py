"""What becomes of the scores of the next token, in numpy: the rules of `weft.generate.processors`, and the draw.

A rule takes the tokens so far (B, T), the start included, and the scores (B, V). It may write into the scores that it is
given, and returns them; -inf forbids a token.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.config import SpecialTokens
from weft.generate.config import SearchConfig

__all__ = [
    "Highest",
    "Processor",
    "draw",
    "highest",
    "log_softmax",
    "make_uniforms",
    "rules_of_length",
    "rules_of_repetition",
    "truncate",
]

COLUMNS = 800  # in which `highest` lays out a row

Tokens = NDArray[np.int64]
Scores = NDArray[np.float32]
Processor = Callable[[Tokens, Scores], Scores]


def log_softmax(scores: Scores) -> Scores:
    """Log-probabilities (B, V); a row in which nothing may come stays as it is."""
    below = _below_best(scores)
    found: Scores = below - np.log(np.maximum(np.exp(below).sum(1, keepdims=True), 1.0))
    return found


def _below_best(scores: NDArray[Any]) -> NDArray[Any]:
    """How far each score is below the best of its row."""
    best = np.maximum(scores.max(1, keepdims=True), np.finfo(np.float32).min)  # where nothing may come, too
    below: NDArray[Any] = scores - best
    return below


class Highest(NamedTuple):
    """Each row's highest scores (B, K), in falling order, and where they stand."""

    values: Scores
    indices: Tokens


def highest(scores: Scores, count: int) -> Highest:
    """The `count` highest scores of each row; of equal ones the first.

    The row is laid out in columns. The `count` columns with the highest maxima have a score each that is no lower than the
    lowest of these maxima: what is found is among such scores, of which there are few.

    >>> highest(np.array([[1.0, 3.0, 2.0, 3.0]], np.float32), 3).indices.tolist()
    [[1, 3, 2]]
    """
    width = scores.shape[1]
    lines = width // COLUMNS
    maxima = scores
    if lines > 1 and count <= COLUMNS:
        maxima = scores[:, : lines * COLUMNS].reshape(-1, lines, COLUMNS).max(1)
    least = np.partition(maxima, -count, axis=1)[:, -count, None]
    rows, places = np.divmod(np.flatnonzero(scores >= least), width)
    order = np.lexsort((places, -scores[rows, places], rows))
    begins = np.searchsorted(rows, np.arange(len(scores)))
    indices = places[order[begins[:, None] + np.arange(count)]]
    return Highest(np.take_along_axis(scores, indices, 1), indices)


def rules_of_repetition(config: SearchConfig) -> list[Processor]:
    """The rules on what stands before a token, a prompt included, in Hugging Face's order."""
    rules: list[Processor] = []
    if config.repetition_penalty != 1.0:
        rules.append(partial(_penalise_repetition, penalty=config.repetition_penalty))
    if config.no_repeat_ngram:
        rules.append(partial(_ban_repeated_ngrams, size=config.no_repeat_ngram))
    if config.banned:
        rules.append(partial(_ban_words, words=config.banned))
    return rules


def rules_of_length(config: SearchConfig, special: SpecialTokens, *, limit: int) -> list[Processor]:
    """The rules on how much has been written; `limit` is the maximum length."""
    rules: list[Processor] = []
    if config.min_length > 1:
        rules.append(partial(_delay_end, length=config.min_length, end=special.end))
    if config.force_end:
        rules.append(partial(_force_end, length=limit, end=special.end))
    if config.renormalise:
        rules.append(lambda tokens, scores: log_softmax(scores))
    return rules


def _penalise_repetition(tokens: Tokens, scores: Scores, *, penalty: float) -> Scores:
    """Tokens that came before score s · penalty below zero, s / penalty above (Keskar et al. 2019, 4.1)."""
    seen = np.take_along_axis(scores, tokens, 1)
    np.put_along_axis(scores, tokens, np.where(seen < 0, seen * penalty, seen / penalty), 1)
    return scores


def _ban_repeated_ngrams(tokens: Tokens, scores: Scores, *, size: int) -> Scores:
    """No `size` tokens in a row come twice (Paulus et al. 2018, section 2.5)."""
    length = tokens.shape[1]
    if length < size:
        return scores
    ngrams = np.lib.stride_tricks.sliding_window_view(tokens, size, axis=1)  # (B, T - size + 1, size)
    begun = tokens[:, None, length - size + 1 :]  # (B, 1, size - 1)
    rows, places = (ngrams[..., :-1] == begun).all(-1).nonzero()
    scores[rows, ngrams[rows, places, -1]] = -math.inf
    return scores


def _ban_words(tokens: Tokens, scores: Scores, *, words: Sequence[Sequence[int]]) -> Scores:
    """No word, each a sequence of tokens, is ever completed."""
    for word in words:
        before = tokens.shape[1] - len(word) + 1
        if before >= 0:
            scores[(tokens[:, before:] == word[:-1]).all(-1), word[-1]] = -math.inf
    return scores


def _delay_end(tokens: Tokens, scores: Scores, *, length: int, end: int) -> Scores:
    """No output of fewer than `length` tokens, the end included."""
    if tokens.shape[1] < length:  # the start token stands for the end that would come now
        scores[:, end] = -math.inf
    return scores


def _force_end(tokens: Tokens, scores: Scores, *, length: int, end: int) -> Scores:
    """The last of `length` tokens is the end, at no cost."""
    if tokens.shape[1] == length:
        scores[:] = -math.inf
        scores[:, end] = 0.0
    return scores


def truncate(scores: Scores, config: SearchConfig) -> Scores:
    """The scores that a configuration samples by: temperature first, then each of the limits that it sets."""
    scores = scores / config.temperature
    if config.top_k:
        last = highest(scores, min(config.top_k, scores.shape[1])).values[:, -1:]
        scores = np.where(scores < last, -math.inf, scores)
    if config.top_p < 1.0:
        scores = _top_p(scores, config.top_p)
    if config.min_p > 0.0:
        last = scores.max(1, keepdims=True) + math.log(config.min_p)
        scores = np.where(scores < last, -math.inf, scores)
    return scores


def _top_p(scores: Scores, mass: float) -> Scores:
    """Only the best tokens that together reach this probability (Holtzman et al. 2020, section 3.1)."""
    order = np.argsort(-scores, axis=1, kind="stable")
    probabilities = np.exp(log_softmax(np.take_along_axis(scores, order, 1)))
    better = probabilities.cumsum(1, dtype=np.float64).astype(np.float32) - probabilities
    better[:, 0] = 0.0  # exact, so that the best always stays
    stays = np.empty(scores.shape, bool)
    np.put_along_axis(stays, order, better < mass, 1)
    return np.where(stays, scores, -math.inf)


def draw(scores: Scores, uniforms: NDArray[np.float64]) -> Tokens:
    """One token a row, by the row's own number in [0, 1): the first whose cumulative probability exceeds it.

    >>> draw(np.log([[0.25, 0.25, 0.5]]), np.array([0.3])).tolist()
    [1]
    """
    cumulative = np.exp(_below_best(scores.astype(np.float64))).cumsum(1)
    found: Tokens = (cumulative > uniforms[:, None] * cumulative[:, -1:]).argmax(1)
    return found


def make_uniforms(seeds: Sequence[Sequence[int]], *, seed: int, limits: Sequence[int]) -> NDArray[np.float64]:
    """Numbers in [0, 1), (M, L), up to each row's limit, that depend on nothing but the seed and the row's own seeds."""
    rows = np.zeros((len(seeds), max(limits)))
    for row, own, limit in zip(rows, seeds, limits, strict=True):
        digest = hashlib.blake2b(repr((seed, *map(int, own))).encode(), digest_size=16).digest()
        row[:limit] = np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little"))).random(limit)
    return rows
