"""A text as one stream of tokens, read in rows of equal length."""

import numpy as np
from numpy.typing import NDArray

from weft.data.packing import FIELD
from weft.data.store import TokenStore

__all__ = ["Stream"]


class Stream:
    """The tokens from `begin` to `end` of a store, in rows of `length` and one more, which is there to be predicted.

    The rows follow each other. With a `shift` each begins so many tokens later, round the end to the beginning: other
    rows of the same text.
    """

    def __init__(self, store: TokenStore, *, begin: int, end: int, length: int) -> None:
        self.store = store
        self.begin = begin
        self.size = max(0, end - begin)
        self.length = length
        rows = max(0, self.size - 1) // length
        self.lengths: NDArray[np.int64] = np.broadcast_to(np.int64(length), (rows, 1))  # (N, 1)

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self, numbers: NDArray[np.int64], *, shift: int = 0) -> NDArray[np.int64]:
        """These rows (R, length + 1)."""
        starts = self._starts(numbers, shift=shift)
        flat = self.store[FIELD].ids
        return np.stack([flat[start : start + self.length + 1] for start in starts]).astype(np.int64)

    def place(self, number: int) -> str:
        """The file and line where a row begins."""
        start = self._starts(np.array([number]), shift=0)[0]
        return self.store.place(int(np.searchsorted(self.store[FIELD].ends, start, side="right")))

    def _starts(self, numbers: NDArray[np.int64], *, shift: int) -> list[int]:
        begins: list[int] = (
            self.begin + (numbers * self.length + shift) % (self.size - self.length)
        ).tolist()
        return begins
