"""Relative positions: the shift, the encoding of distances, and kernels with a bias that differs from row to row."""

import math

import torch

from weft.nn.kernels import attend
from weft.nn.masks import Mask
from weft.nn.relative_attention import by_distance, sinusoids


def test_scores_of_distances_become_scores_of_keys() -> None:
    queries, keys = 3, 7
    scores = torch.randn(2, 4, queries, keys)
    shifted = by_distance(scores)
    for query in range(queries):
        for key in range(keys - queries + query + 1):
            distance = keys - queries + query - key
            assert torch.equal(shifted[..., query, key], scores[..., query, keys - 1 - distance])


def test_distances_are_told_by_sines_and_then_cosines() -> None:
    encoded = sinusoids(torch.tensor([5, 0]), width=6)
    rates = [1.0, 10_000 ** (-2 / 6), 10_000 ** (-4 / 6)]
    expected = [
        [math.sin(5 * rate) for rate in rates] + [math.cos(5 * rate) for rate in rates],
        [0.0] * 3 + [1.0] * 3,
    ]
    torch.testing.assert_close(encoded, torch.tensor(expected))


def test_kernels_agree_where_the_bias_differs_from_row_to_row() -> None:
    torch.manual_seed(0)
    mask = Mask(causal=True, window=4).build(3, 6, device=torch.device("cpu"))
    found = {}
    for kernel in ("plain", "sdpa"):
        torch.manual_seed(1)
        q, k, v = (torch.randn(2, 4, length, 8, requires_grad=True) for length in (3, 6, 6))
        bias = torch.randn(2, 4, 3, 6, requires_grad=True)
        mixed = attend(q, k, v, mask=mask, bias=bias, kernel=kernel)
        found[kernel] = [mixed, *torch.autograd.grad(mixed.square().sum(), [q, k, v, bias])]
    for plain, fast in zip(found["plain"], found["sdpa"], strict=True):
        torch.testing.assert_close(plain, fast, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found["plain"][4][0], found["plain"][4][1])
