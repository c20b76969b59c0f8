"""What reads texts, and answers in numbers or writes others, whatever it runs on."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from weft.config import HeadName, ModelConfig
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis

__all__ = ["Head", "Network", "Seq2SeqNetwork", "Tokens", "by_length"]

Tokens = Sequence[int] | NDArray[Any]
Head = HeadName | Literal["states"]


class Network(Protocol):
    """An encoder with its heads, on PyTorch or elsewhere."""

    config: ModelConfig

    @property
    def model(self) -> Any:
        """The encoder on PyTorch, to be looked into; a UserError where it runs elsewhere."""

    def ask(
        self,
        head: Head,
        ids: Sequence[Tokens],
        segments: Sequence[Tokens],
        *,
        places: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """The numbers of some texts, and what a head says of them, until all have been: the longest texts first.

        "states" (R, T, D) and the scores of "tag" and "answer" (R, T, L) are for each token of texts that are equally long,
        those of "classify" (R, L) for each text, those of "masked" (M, V) for the tokens at the `places` of each text, in
        their order. On PyTorch what a text gets does not depend on the others.
        """


class Seq2SeqNetwork(Protocol):
    """An encoder-decoder, on PyTorch or elsewhere."""

    config: ModelConfig

    @property
    def model(self) -> Any:
        """The model on PyTorch, to be looked into; a UserError where it runs elsewhere."""

    def search(self, sources: Sequence[Sequence[int]], config: SearchConfig) -> list[list[Hypothesis]]:
        """The hypotheses for each source, the best first."""

    def attention(self, source: Sequence[int], target: Sequence[int]) -> NDArray[np.float32]:
        """What each target token has seen of the source, by layer and head: (L, H, T, S)."""


def by_length(lengths: Sequence[int], *, tokens: int) -> Iterator[NDArray[np.int64]]:
    """The numbers of all texts, the longest first, in parts of up to so many tokens."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    ends = np.cumsum(np.asarray(lengths)[order])
    begin = 0
    while begin < len(order):
        read = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, read + tokens, side="right")))
        yield order[begin:end]
        begin = end
