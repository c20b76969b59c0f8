"""The rules on the next token's scores, each by itself, and the draw."""

import math
from collections import Counter

import pytest
import torch
from torch import Tensor
from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from weft.generate.config import SearchConfig
from weft.generate.processors import (
    ban_repeated_ngrams,
    ban_words,
    delay_end,
    force_end,
    penalise_repetition,
)
from weft.generate.sampling import draw, min_p, top_k, top_p, truncate

START, END = 1, 2


def scores(rows: int = 1) -> Tensor:
    return torch.randn(rows, 8, generator=torch.Generator().manual_seed(0))


def banned(out: Tensor, row: int = 0) -> list[int]:
    return (out[row] == -math.inf).nonzero()[:, 0].tolist()


def test_penalise_repetition() -> None:
    given = torch.tensor([[1.0, -1.0, 2.0, -2.0]])
    out = penalise_repetition(torch.tensor([[1, 2, 2]]), given.clone(), penalty=2.0)
    assert out.tolist() == [[1.0, -2.0, 1.0, -2.0]]


def test_ban_repeated_ngrams() -> None:
    tokens = torch.tensor([[START, 3, 4, 5, 3, 4], [START, 3, 4, 5, 5, 5]])
    assert [banned(ban_repeated_ngrams(tokens, scores(2), size=3), row) for row in (0, 1)] == [[5], [5]]
    assert [banned(ban_repeated_ngrams(tokens, scores(2), size=2), row) for row in (0, 1)] == [[5], [5]]
    assert [banned(ban_repeated_ngrams(tokens, scores(2), size=1), row) for row in (0, 1)] == [
        [1, 3, 4, 5]
    ] * 2
    assert [banned(ban_repeated_ngrams(tokens, scores(2), size=4), row) for row in (0, 1)] == [[], []]
    assert banned(ban_repeated_ngrams(tokens[:, :2], scores(2), size=3)) == []


def test_ban_words() -> None:
    tokens = torch.tensor([[START, 3, 4], [START, 4, 3]])
    words = [torch.tensor(word) for word in ((7,), (4, 5), (3, 4, 6), (START, 3, 4, 3, 0))]
    out = ban_words(tokens, scores(2), words=words)
    assert [banned(out, row) for row in (0, 1)] == [[5, 6, 7], [7]]


def test_ends_come_neither_too_soon_nor_too_late() -> None:
    tokens = torch.tensor([[START, 3, 4]])  # the third token comes now
    assert banned(delay_end(tokens, scores(), length=3, end=END)) == []
    assert banned(delay_end(tokens, scores(), length=4, end=END)) == [END]
    assert torch.equal(force_end(tokens, scores(), length=4, end=END), scores())
    out = force_end(tokens, scores(), length=3, end=END)
    assert banned(out) == [0, 1, 3, 4, 5, 6, 7]
    assert out[0, END] == 0


@pytest.mark.parametrize("seed", range(5))
def test_limits_are_those_of_transformers(seed: int) -> None:
    given = torch.randn(20, 50, generator=torch.Generator().manual_seed(seed)) * 3
    for k in (1, 7, 100):
        assert torch.equal(top_k(given, k), TopKLogitsWarper(k)(None, given))
    for p in (0.05, 0.5, 0.9, 0.999):
        assert torch.equal(top_p(given, p), TopPLogitsWarper(p)(None, given))
    for share in (0.01, 0.3, 0.99):
        assert torch.equal(min_p(given, share), MinPLogitsWarper(share)(None, given))


def test_limits_apply_after_the_temperature() -> None:
    given = torch.tensor([[2.0, 1.0, 0.0, -1.0]])
    assert banned(truncate(given, SearchConfig(sample=True, top_p=0.7))) == [2, 3]
    assert banned(truncate(given, SearchConfig(sample=True, top_p=0.7, temperature=0.5))) == [1, 2, 3]
    assert banned(truncate(given, SearchConfig(sample=True, top_k=3, min_p=0.2))) == [2, 3]


def test_draws_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.0, 0.2, 0.3, 0.0])
    grid = (torch.arange(1000) + 0.5) / 1000
    drawn = draw(probabilities.log().expand(1000, 5), grid)
    assert Counter(drawn.tolist()) == {0: 500, 2: 200, 3: 300}
    assert draw(probabilities.log()[None], torch.tensor([1 - 1e-16], dtype=torch.float64)).tolist() == [3]
    assert draw(probabilities.log()[None], torch.tensor([0.0])).tolist() == [0]
