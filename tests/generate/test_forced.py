"""Forced words are always there, and what is best with them is found."""

import itertools

import pytest
import torch

from weft.config import SpecialTokens
from weft.errors import UserError
from weft.generate.config import SearchConfig
from weft.generate.forced import progress
from weft.generate.hypothesis import Hypothesis
from weft.generate.loop import search

SPECIAL = SpecialTokens()
LOGITS = torch.randn(5, 7, 7, generator=torch.Generator().manual_seed(0)) * 2


class Bigrams:
    """Next-token scores that depend on the sentence and the last token alone."""

    def __init__(self) -> None:
        self.logits = LOGITS

    def predict(self, tokens: torch.Tensor) -> torch.Tensor:
        last = tokens.view(len(self.logits), -1)
        return self.logits.take_along_dim(last[..., None], 1).flatten(0, 1)

    def reorder(self, rows: torch.Tensor) -> None: ...

    def keep(self, sentences: torch.Tensor) -> None:
        self.logits = self.logits[sentences]


def found(limit: int = 8, **fields: object) -> list[list[Hypothesis]]:
    config = SearchConfig.model_validate({"beams": 6, "banned": ((0,), (1,))} | fields)
    return search(Bigrams(), config, SPECIAL, limits=[limit] * 5, device=torch.device("cpu"))


def contains(tokens: list[int], word: tuple[int, ...]) -> bool:
    return any(tuple(tokens[i : i + len(word)]) == word for i in range(len(tokens)))


@pytest.mark.parametrize("beams", [1, 2, 6])
@pytest.mark.parametrize(
    "forced", [((3,),), ((3, 4, 3),), ((5, 6), (4,)), ((5, 6), (6, 5)), ((3, 3), (3, 4))]
)
def test_every_hypothesis_holds_every_word(beams: int, forced: tuple[tuple[int, ...], ...]) -> None:
    plain = found(beams=beams)
    assert not all(contains(each[0].tokens, word) for each in plain for word in forced)
    for hypotheses in found(beams=beams, nbest=beams, forced=forced):
        for each in hypotheses:
            assert all(contains(each.tokens, word) for word in forced)
            assert each.score == pytest.approx(sum(each.logprobs) / len(each.logprobs), abs=1e-5)


def test_wide_beams_find_the_best_output_that_holds_the_words() -> None:
    forced = ((5, 6), (4,))
    for sentence, hypotheses in enumerate(found(limit=5, beams=300, length_penalty=0.0, forced=forced)):
        logprobs = LOGITS[sentence].log_softmax(-1)

        def total(tokens: tuple[int, ...], logprobs: torch.Tensor = logprobs) -> float:
            return sum(float(logprobs[a, b]) for a, b in itertools.pairwise((SPECIAL.start, *tokens)))

        every = [
            output
            for length in range(6)
            for middle in itertools.product([3, 4, 5, 6], repeat=length)
            for output in ([(*middle, SPECIAL.end)] if length < 5 else [middle])
            if all(contains(list(output), word) for word in forced)
        ]
        best = max(every, key=total)
        assert tuple(hypotheses[0].tokens) == best[: len(hypotheses[0].tokens)]
        assert hypotheses[0].score == pytest.approx(total(best), abs=1e-5)


def test_words_that_do_not_fit_or_are_banned_are_an_error() -> None:
    with pytest.raises(UserError, match="relax one"):
        found(forced=((0,),))
    with pytest.raises(UserError, match="relax one"):
        found(limit=2, forced=((3, 4, 5),))


def test_progress() -> None:
    words = [(7, 5), (5, 8, 9)]
    assert progress([], words) == (0, {7, 5}, False)
    assert progress([1, 7], words) == (1, {5}, False)
    assert progress([1, 7, 5], words) == (3, {8}, False)
    assert progress([7, 5, 8, 8], words) == (2, {5}, False)
    assert progress([5, 8, 9, 7, 5, 4], words) == (5, set(), True)
