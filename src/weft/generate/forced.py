"""Forced words: beam search whose beams are shared out by how much of the words each holds."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from weft.generate.beams import Beams, Candidates

__all__ = ["Progress", "forced_candidates", "progress"]

Words = Sequence[tuple[int, ...]]


class Progress(NamedTuple):
    """How many tokens of the words an output holds, which ones would bring it on, and whether it has all."""

    held: int
    wanted: set[int]
    complete: bool


class _Way(NamedTuple):
    """One way to go on with a sentence."""

    total: float
    logprob: float
    beam: int
    token: int
    held: int


def progress(tokens: Sequence[int], words: Words) -> Progress:
    """What of the words is there, begun ones at the end of `tokens` included.

    >>> progress([7, 5, 8], [(7, 5), (8, 9)])
    Progress(held=3, wanted={9}, complete=False)
    """
    missing = [word for word in words if not _holds(tokens, word)]
    held = sum(map(len, words)) - sum(map(len, missing))
    begun = {word: _begun(tokens, word) for word in missing}
    wanted = {word[length] for word, length in begun.items()}
    return Progress(held + max(begun.values(), default=0), wanted, not missing)


def forced_candidates(logprobs: Float[Tensor, "B V"], state: Beams, *, words: Words) -> Candidates:
    """Dynamic beam allocation (Post and Vilar 2018, section 3): 2 N candidates for each sentence.

    Beside the best continuations, each beam offers those that a word needs. The candidates that hold equally
    many of the words' tokens form a bank; the best of each bank come first, then the second best of each, and
    so on. No output ends, or is cut at the maximum length, before all words are there.
    """
    sentences, beams = state.totals.shape
    size = 2 * beams
    last = state.length + 1 == int(state.limits[0])
    best = logprobs.topk(min(size, logprobs.shape[-1])).indices.view(sentences, beams, -1).tolist()
    values = logprobs.view(sentences, beams, -1)
    sums = state.totals.tolist()
    before = state.tokens[:, :, : state.length + 1].tolist()
    rows = []
    for sentence in range(sentences):
        ways: list[_Way] = []
        for beam, total in enumerate(sums[sentence]):
            if total == -math.inf:
                continue
            sofar = before[sentence][beam]
            offered = sorted({*best[sentence][beam], *progress(sofar, words).wanted})
            for token, logprob in zip(offered, values[sentence, beam, offered].tolist(), strict=True):
                after = progress([*sofar, token], words)
                if logprob > -math.inf and (after.complete or not (last or token == state.end)):
                    ways.append(_Way(total + logprob, logprob, beam, token, after.held))
        ordered = list(_shared_out(ways))[:size]
        rows.append(ordered + [_Way(-math.inf, -math.inf, 0, state.end, 0)] * (size - len(ordered)))
    columns = [[[way[field] for way in row] for row in rows] for field in range(4)]
    summed, each, parents, chosen = (torch.tensor(column, device=logprobs.device) for column in columns)
    return Candidates(summed, each, parents, chosen)


def _shared_out(ways: list[_Way]) -> Iterator[_Way]:
    """The best of each bank, the fullest bank first; then the second best of each; and so on."""
    banks: dict[int, list[_Way]] = defaultdict(list)
    for way in sorted(ways, key=lambda way: -way.total):
        banks[way.held].append(way)
    fullest_first = [banks[held] for held in sorted(banks, reverse=True)]
    for rank in range(max(map(len, fullest_first), default=0)):
        yield from (bank[rank] for bank in fullest_first if rank < len(bank))


def _holds(tokens: Sequence[int], word: tuple[int, ...]) -> bool:
    return any(tuple(tokens[i : i + len(word)]) == word for i in range(len(tokens) - len(word) + 1))


def _begun(tokens: Sequence[int], word: tuple[int, ...]) -> int:
    """How many tokens at the end of `tokens` begin the word, which is not there as a whole."""
    lengths = range(min(len(tokens), len(word) - 1), 0, -1)
    return next((length for length in lengths if tuple(tokens[-length:]) == word[:length]), 0)
