"""What a search gives back."""

from typing import NamedTuple

__all__ = ["Hypothesis"]


class Hypothesis(NamedTuple):
    """One finished output: its tokens without the start and the end token, and how likely the model finds it.

    `logprobs` holds one natural logarithm for each generated token, the end token's last where `ended`; an
    output that is not `ended` was cut at the maximum length. `score` is their sum over the configuration's
    normaliser.
    """

    tokens: list[int]
    score: float
    logprobs: list[float]
    ended: bool
