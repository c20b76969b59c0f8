"""The highest scores are those that `topk` finds."""

import pytest
import torch

from weft.generate.highest import highest


@pytest.mark.parametrize("width", [5, 800, 1601, 4000, 8123])
@pytest.mark.parametrize("count", [1, 5, 300])
def test_as_topk(width: int, count: int) -> None:
    scores = torch.randn(7, width, generator=torch.Generator().manual_seed(width))
    scores[1, ::2] = -torch.inf
    scores[2, width - 1] = 10.0
    count = min(count, width // 2)
    found, expected = highest(scores, count), scores.topk(count)
    assert torch.equal(found.values, expected.values)
    assert torch.equal(found.indices, expected.indices)


def test_equal_scores_are_each_found_once() -> None:
    found = highest(torch.zeros(2, 4000), 20)
    assert found.values.tolist() == [[0.0] * 20] * 2
    assert all(len(set(row)) == 20 for row in found.indices.tolist())
    one = torch.full((1, 4000), -torch.inf)
    one[0, 3999] = 0.0
    assert highest(one, 3).indices[0, 0] == 3999
