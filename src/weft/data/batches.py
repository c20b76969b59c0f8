"""Which rows go together: batches under a budget of tokens, in an order of seed and step alone."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from weft.errors import UserError

__all__ = ["BatchPlan", "Batches", "Lanes", "collate", "spread"]

Rows = NDArray[np.int64]

_WINDOW = 131_072
"""Rows sorted together: the more, the less padding; the fewer, the more varied a batch over the epochs."""

_SHUFFLE_ROWS, _SHUFFLE_BATCHES = 0, 1
"""The random streams of one epoch."""


class Batches(Protocol):
    """The rows of each step, a function of the step alone."""

    def batch(self, step: int) -> Rows: ...
    def steps_per_epoch(self, epoch: int) -> int: ...
    def padding(self, epoch: int) -> float: ...


class Lanes:
    """Rows that follow each other, in lanes of equal length that are read side by side: a step has the next row of each.

    Every row is in a lane; where the rows cannot be shared out evenly, some are in two.

    >>> lanes = Lanes(7, count=2)
    >>> [lanes.batch(step).tolist() for step in range(5)]
    [[0, 3], [1, 4], [2, 5], [3, 6], [0, 3]]
    """

    def __init__(self, rows: int, *, count: int) -> None:
        count = min(count, rows)
        self.length = -(-rows // count)
        self.starts: Rows = np.linspace(0, rows - self.length, count).round().astype(np.int64)

    def batch(self, step: int) -> Rows:
        """The indices of the rows of one step, counted from 0 over all epochs."""
        return self.starts + step % self.length

    def steps_per_epoch(self, epoch: int) -> int:
        """The same for every epoch."""
        return self.length

    def padding(self, epoch: int) -> float:
        """None: the rows are equally long."""
        return 0.0


class BatchPlan:
    """The batches of every epoch, each a pure function of lengths, budget, seed and its own number.

    An epoch permutes the rows, sorts windows of them by length, cuts these into batches and shuffles the
    batches. Rows are sorted by their longer side, and within that by the difference of the sides, up and
    down in turn: of the orders that were measured the one with the least padding.

    `lengths` is (N, fields), in tokens: one column for each sequence of a row that is padded by itself.
    `tokens` bounds the padded size of the largest side of a batch: rows times the longest sequence.
    Raises UserError where there is no row, or one that is larger than a whole batch.
    """

    def __init__(self, lengths: ArrayLike, *, tokens: int, seed: int) -> None:
        table = np.asarray(lengths, dtype=np.int64)
        self._lengths = table[:, None] if table.ndim == 1 else table  # (N, fields)
        if not len(self._lengths):
            raise UserError("there is not a single example to make a batch of")
        self._longest = np.maximum(self._lengths.max(axis=1), 1)  # (N,)
        worst = int(self._longest.argmax())
        if self._longest[worst] > tokens:
            raise UserError(
                f"example {worst} has {self._longest[worst]} tokens, more than the {tokens} of a batch: "
                f"allow a batch {self._longest[worst]} tokens or more, or leave such examples out"
            )
        self.tokens = tokens
        self.seed = seed
        self._first_steps = [0]  # the step at which each epoch seen so far begins
        self._epochs: dict[int, list[Rows]] = {}

    def batch(self, step: int) -> Rows:
        """The indices of the rows of one step, counted from 0 over all epochs."""
        epoch = self.epoch_of(step)
        return self._batches(epoch)[step - self._first_steps[epoch]]

    def epoch_of(self, step: int) -> int:
        """The epoch, counted from 0, that a step belongs to."""
        while self._first_steps[-1] <= step:
            self.steps_per_epoch(len(self._first_steps) - 1)
        return bisect_right(self._first_steps, step) - 1

    def steps_per_epoch(self, epoch: int) -> int:
        """The number of batches in an epoch; it can differ by a few from one epoch to the next."""
        while len(self._first_steps) <= epoch + 1:
            known = len(self._first_steps) - 1
            self._first_steps.append(self._first_steps[known] + len(self._batches(known)))
        return self._first_steps[epoch + 1] - self._first_steps[epoch]

    def padding(self, epoch: int) -> float:
        """The share of an epoch's positions, over all sides, that hold padding."""
        batches = self._batches(epoch)
        padded = sum(len(rows) * int(self._lengths[rows].max(axis=0).sum()) for rows in batches)
        return 1 - int(self._lengths.sum()) / padded if padded else 0.0

    def _batches(self, epoch: int) -> list[Rows]:
        if epoch not in self._epochs:
            batches = self._cut(epoch)
            shuffled = [batches[index] for index in self._permutation(len(batches), epoch, _SHUFFLE_BATCHES)]
            # One epoch back is kept for whoever looks across the border; more would only take up memory.
            self._epochs = {known: rows for known, rows in self._epochs.items() if known == epoch - 1}
            self._epochs[epoch] = shuffled
        return self._epochs[epoch]

    def _cut(self, epoch: int) -> list[Rows]:
        rows = self._permutation(len(self._lengths), epoch, _SHUFFLE_ROWS)
        batches: list[Rows] = []
        for window in np.array_split(rows, -(-len(rows) // _WINDOW)):
            ordered = window[self._by_length(window)]
            lengths, longest = self._lengths[ordered], self._longest[ordered]
            # The first batch is smaller by chance, so that the others' borders move from epoch to epoch.
            budget = max(int(longest[0]), self.tokens - int(window[0]) % (self.tokens // 2 + 1))
            start = 0
            while start < len(ordered):
                end = _fitting(longest, start=start, budget=budget)
                end = start + _least_padded(lengths[start:end]) if end < len(ordered) else end
                batches.append(ordered[start:end])
                start, budget = end, self.tokens
        return batches

    def _by_length(self, window: Rows) -> Rows:
        longest = self._longest[window]
        difference = self._lengths[window, 0] - self._lengths[window, -1]
        return np.lexsort((np.where(longest % 2, difference, -difference), longest))

    def _permutation(self, size: int, epoch: int, stream: int) -> Rows:
        # Raw bits: numpy promises that these never change, which it does not for `Generator.permutation`.
        bits = np.random.PCG64(np.random.SeedSequence([self.seed, epoch, stream]))
        return np.argsort(bits.random_raw(size), kind="stable")


def collate(sequences: Sequence[ArrayLike], *, pad_id: int) -> NDArray[np.int64]:
    """The sequences as the rows of one array (B, S), filled up at the end with `pad_id`.

    >>> collate([[5, 6, 7], [8]], pad_id=0).tolist()
    [[5, 6, 7], [8, 0, 0]]
    """
    arrays = [np.asarray(sequence, dtype=np.int64) for sequence in sequences]
    batch = np.full((len(arrays), max(map(len, arrays), default=0)), pad_id, dtype=np.int64)
    for row, array in zip(batch, arrays, strict=True):
        row[: len(array)] = array
    return batch


def spread(size: int, *, count: int) -> Rows:
    """`count` of the numbers below `size`, evenly spread, or all where they are fewer.

    >>> spread(9, count=3).tolist(), spread(2, count=3).tolist()
    ([0, 4, 8], [0, 1])
    """
    return np.linspace(0, size - 1, min(count, size)).astype(np.int64)


def _fitting(longest: Rows, *, start: int, budget: int) -> int:
    """The last end of a batch from `start` on within the budget; `longest` never falls."""
    ends = range(start + 1, len(longest) + 1)
    return start + max(1, bisect_right(ends, budget, key=lambda end: (end - start) * int(longest[end - 1])))


def _least_padded(lengths: Rows) -> int:
    """How many of these rows (n, fields), no fewer than four fifths, have the smallest share of padding.

    Ending early, say where the length rises, spares a quarter of the padding for a tenth more batches.
    """
    rows = np.arange(1, len(lengths) + 1)
    padded = rows * np.maximum.accumulate(lengths, axis=0).sum(axis=1)
    filled = lengths.sum(axis=1).cumsum() / np.maximum(padded, 1)
    latest_first = filled[len(rows) - len(rows) // 5 - 1 :][::-1]
    return len(rows) - int(latest_first.argmax())
