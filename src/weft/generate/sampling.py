"""Sampling: which tokens are left to draw from, and the draw."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from weft.generate.config import SearchConfig

__all__ = ["draw", "min_p", "top_k", "top_p", "truncate"]


def truncate(scores: Float[Tensor, "B V"], config: SearchConfig) -> Float[Tensor, "B V"]:
    """The scores that a configuration samples by: temperature first, then each of the limits that it sets."""
    scores = scores / config.temperature
    if config.top_k:
        scores = top_k(scores, config.top_k)
    if config.top_p < 1.0:
        scores = top_p(scores, config.top_p)
    if config.min_p > 0.0:
        scores = min_p(scores, config.min_p)
    return scores


def top_k(scores: Float[Tensor, "B V"], count: int) -> Float[Tensor, "B V"]:
    """Only the `count` best tokens, and those that equal the last of them (Fan et al. 2018, section 5.4)."""
    last = scores.topk(min(count, scores.shape[-1])).values[:, -1:]
    return scores.masked_fill(scores < last, -math.inf)


def top_p(scores: Float[Tensor, "B V"], mass: float) -> Float[Tensor, "B V"]:
    """Only the best tokens that together reach this probability (Holtzman et al. 2020, section 3.1)."""
    ordered, tokens = scores.sort(descending=True)
    probabilities = ordered.softmax(-1)
    better = probabilities.cumsum(-1) - probabilities
    better[:, 0] = 0.0  # exact, so that the best always stays
    return scores.masked_fill(
        torch.zeros_like(better, dtype=torch.bool).scatter_(1, tokens, better >= mass), -math.inf
    )


def min_p(scores: Float[Tensor, "B V"], share: float) -> Float[Tensor, "B V"]:
    """Only tokens at least `share` times as probable as the best (Nguyen et al. 2024, section 3)."""
    return scores.masked_fill(scores < scores.amax(-1, keepdim=True) + math.log(share), -math.inf)


def draw(scores: Float[Tensor, "B V"], uniform: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    """One token a row, by the row's own number in [0, 1): the first whose cumulative probability exceeds it.

    >>> draw(torch.tensor([[0.25, 0.25, 0.5]]).log(), torch.tensor([0.3])).tolist()
    [1]
    """
    cumulative = scores.double().softmax(-1).cumsum(-1)
    threshold = uniform.double()[:, None] * cumulative[:, -1:]
    drawn = torch.searchsorted(cumulative, threshold, right=True)[:, 0]
    return drawn.clamp(max=scores.shape[1] - 1)  # where nothing may come, there is no such token
