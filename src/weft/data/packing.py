"""Documents packed into rows of full length, so that next to nothing is computed on padding.

A text is one flat array of tokens; a document, a piece of one and a line are each a range of it, (begin, end).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.data.store import TokenStore
from weft.text.tokenizer import Layout

__all__ = [
    "FIELD",
    "Packing",
    "Pairs",
    "Row",
    "Rows",
    "around",
    "find_documents",
    "hold_out_tokens",
    "pack",
    "pair_up",
]

FIELD = "text"
"""What a store calls the lines of documents."""


Ranges = NDArray[np.int64]
"""(N, 2): where each range of tokens begins and ends."""

_HOLD_OUT, _CHOOSE, _TURN = 0, 1, 2
"""The random streams of a seed."""


class Packing(NamedTuple):
    """Rows of pieces: row i holds those from number `firsts[i]` to `firsts[i + 1]`."""

    pieces: Ranges
    firsts: NDArray[np.int64]  # (N + 1,)

    def __len__(self) -> int:
        return len(self.firsts) - 1

    def row(self, number: int) -> Ranges:
        """The pieces of a row."""
        return self.pieces[self.firsts[number] : self.firsts[number + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,): the tokens of each row, without what stands around its pieces."""
        ends: NDArray[np.int64] = np.diff(self.pieces, axis=1).cumsum()
        return np.diff(np.concatenate([[0], ends])[self.firsts])


class Pairs(NamedTuple):
    """Rows of two pieces each, and whether the second follows the first; `alone` counts parts that found no partner."""

    packing: Packing
    follows: NDArray[np.bool_]
    alone: int


class Row(NamedTuple):
    """What stands in a row, an item for each token: its id, the number of its document from 1, its position there, its
    segment."""

    ids: NDArray[np.int64]
    documents: NDArray[np.int64]
    positions: NDArray[np.int64]
    segments: NDArray[np.int64]


class Rows:
    """Rows of tokens made of pieces of a text, with what the tokenizer's layout puts around them.

    Each piece is read by itself; or, where `follows` says for each row whether its second piece goes on with the first,
    both are read as a pair.
    """

    def __init__(
        self,
        store: TokenStore,
        packing: Packing,
        *,
        layout: Layout,
        follows: NDArray[np.bool_] | None = None,
        alone: int = 0,
    ) -> None:
        self.store = store
        self.packing = packing
        self.layout = layout
        self.follows = follows
        self.alone = alone
        each = around(layout) * np.diff(packing.firsts)
        edges = each if follows is None else around(layout) + len(layout.between)
        self.lengths: NDArray[np.int64] = (packing.lengths + edges)[:, None]  # (N, 1)

    def __len__(self) -> int:
        return len(self.packing)

    def __getitem__(self, number: int) -> Row:
        flat = self.store[FIELD].ids
        pieces = [flat[begin:end].astype(np.int64) for begin, end in self.packing.row(number).tolist()]
        before, between, after = (np.array(ids, dtype=np.int64) for ids in self.layout)
        if self.follows is not None:
            first, second = [*before, *pieces[0], *between], [*pieces[1], *after]
            ids = np.array([*first, *second], dtype=np.int64)
            segments = (np.arange(len(ids)) >= len(first)).astype(np.int64)
            return Row(ids, np.ones_like(ids), np.arange(len(ids)), segments)
        texts = [np.concatenate([before, piece, after]) for piece in pieces]
        ids = np.concatenate(texts)
        documents = np.repeat(np.arange(1, len(texts) + 1), [len(text) for text in texts])
        positions = np.concatenate([np.arange(len(text)) for text in texts])
        return Row(ids, documents, positions, np.zeros_like(ids))

    def place(self, number: int) -> str:
        """The file and line where a row begins."""
        begin = self.packing.row(number)[0, 0]
        return self.store.place(int(np.searchsorted(self.store[FIELD].ends, begin, side="right")))


def around(layout: Layout) -> int:
    """How many tokens stand around a text that is read by itself."""
    return len(layout.before) + len(layout.after)


def find_documents(lengths: NDArray[np.int64]) -> Ranges:
    """The documents of a text whose lines have so many tokens: an empty line ends one.

    >>> find_documents(np.array([3, 2, 0, 0, 4])).tolist()
    [[0, 5], [5, 9]]
    """
    ends = lengths.cumsum()
    borders = np.unique(np.concatenate([[0], ends[lengths == 0], ends[-1:]]))
    return np.stack([borders[:-1], borders[1:]], axis=1)


def hold_out_tokens(documents: Ranges, *, tokens: int, seed: int) -> tuple[Ranges, Ranges]:
    """The documents without some that are drawn by the seed, and these: of so many tokens at most, in all.

    Where documents are too few or too long for that, all stay, but each without as great a share of its tokens, which is
    its end.
    """
    sizes = documents[:, 1] - documents[:, 0]
    order = np.argsort(_bits(seed, _HOLD_OUT, len(documents)), kind="stable")
    short = order[sizes[order] <= tokens / 2]
    if sizes[short].sum() < tokens:
        return _cut_ends(documents, share=tokens / int(sizes.sum()))
    held = np.zeros(len(documents), dtype=bool)
    held[short[sizes[short].cumsum() <= tokens]] = True
    return documents[~held], documents[held]


def _cut_ends(documents: Ranges, *, share: float) -> tuple[Ranges, Ranges]:
    sizes = documents[:, 1] - documents[:, 0]
    borders = documents[:, 1] - np.minimum(np.maximum(1, (share * sizes).round()), sizes // 2).astype(
        np.int64
    )
    kept = np.stack([documents[:, 0], borders], axis=1)
    ends = np.stack([borders, documents[:, 1]], axis=1)
    return kept, ends[ends[:, 1] > ends[:, 0]]


def pack(documents: Ranges, *, room: int, edges: int) -> Packing:
    """Documents as rows of `room` tokens at most, of which `edges` stand around each piece.

    A long document fills rows of its own, and what is left of it, like a short one, shares a row with others: the longest
    first, each where the least room remains (best-fit decreasing, Johnson et al. 1974). Every token is in one row.
    """
    most = room - edges
    sizes = documents[:, 1] - documents[:, 0]
    counts = -(-sizes // most)
    owner = np.repeat(np.arange(len(documents)), counts)
    nth = np.arange(len(owner)) - np.repeat(counts.cumsum() - counts, counts)
    begins = documents[owner, 0] + nth * most
    pieces = np.stack([begins, np.minimum(begins + most, documents[owner, 1])], axis=1)
    rows = _best_fit(pieces[:, 1] - pieces[:, 0] + edges, room=room, least=edges + 1)
    order = np.argsort(rows, kind="stable")
    firsts = np.concatenate([[0], np.bincount(rows).cumsum()])
    return Packing(pieces[order], firsts.astype(np.int64))


def _best_fit(sizes: NDArray[np.int64], *, room: int, least: int) -> NDArray[np.int64]:
    """The row that each piece goes to; a row with less room than the `least` piece is closed."""
    rows = np.empty(len(sizes), dtype=np.int64)
    open_rows: list[list[int]] = [[] for _ in range(room + 1)]  # by the room that remains in them
    there = 0  # bit r: there is a row with room r
    made = 0
    for piece in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[piece])
        if fitting := there >> size:
            left = size + (fitting & -fitting).bit_length() - 1
            row = open_rows[left].pop()
            there ^= 0 if open_rows[left] else 1 << left
        else:
            left, row = room, made
            made += 1
        rows[piece] = row
        if (left := left - size) >= least:
            open_rows[left].append(row)
            there |= 1 << left
    return rows


def pair_up(documents: Ranges, line_ends: NDArray[np.int64], *, most: int, seed: int) -> Pairs:
    """Parts of documents, whole lines of up to `most` tokens where lines are no longer, in pairs by the seed.

    Half of the pairs follow each other, the others are of two documents (Devlin et al. 2019, section 3.1); where too few
    parts follow each other for that, all that do are in it. A part is in one pair at the most, and hardly any is in none.
    """
    parts, owners = _cut_parts(documents, line_ends, most=most)
    inside = owners[:-1] == owners[1:]
    # Neighbours in pairs from the beginning of their document: 0-1, 2-3 and so on.
    nth = np.arange(len(parts)) - np.searchsorted(owners, owners)
    heads = np.flatnonzero((nth[:-1] % 2 == 0) & inside)
    single = len(parts) - 2 * len(heads)
    # Parts that are not kept as neighbours make the other pairs, which are to be as many.
    count = min(len(heads), round(len(heads) / 2 + single / 4))
    kept = heads[np.argsort(_bits(seed, _CHOOSE, len(heads)), kind="stable")[:count]]
    pool = np.setdiff1d(np.arange(len(parts)), np.concatenate([kept, kept + 1]))
    half = len(pool) // 2
    # As the pool goes by documents, its two halves meet in one document at the most.
    others = np.stack([pool[:half], pool[half : 2 * half]], axis=1)
    others = others[owners[others[:, 0]] != owners[others[:, 1]]]
    turned = (_bits(seed, _TURN, len(others)) & np.uint64(1)).astype(bool)
    others[turned] = others[turned, ::-1]
    pairs = np.concatenate([np.stack([kept, kept + 1], axis=1), others])
    follows = np.arange(len(pairs)) < len(kept)
    packing = Packing(parts[pairs.reshape(-1)], np.arange(0, 2 * len(pairs) + 1, 2))
    return Pairs(packing, follows, alone=len(parts) - 2 * len(pairs))


def _cut_parts(
    documents: Ranges, line_ends: NDArray[np.int64], *, most: int
) -> tuple[Ranges, NDArray[np.int64]]:
    """The parts of all documents, and the number of the document that each is of."""
    parts: list[tuple[int, int]] = []
    owners: list[int] = []
    ends = np.unique(line_ends)
    for owner, (begin, end) in enumerate(documents.tolist()):
        inner = ends[np.searchsorted(ends, begin, side="right") : np.searchsorted(ends, end)].tolist()
        parts += _parts(begin, [*inner, end], most=most)
        owners += [owner] * (len(parts) - len(owners))
    return np.array(parts, dtype=np.int64).reshape(-1, 2), np.array(owners, dtype=np.int64)


def _parts(begin: int, line_ends: Sequence[int], *, most: int) -> list[tuple[int, int]]:
    """One document's parts; one of several lines has at least two."""
    limit = most if len(line_ends) == 1 else min(most, -(-(line_ends[-1] - begin) // 2))
    parts: list[tuple[int, int]] = []
    last = begin  # the end of the last line that fits
    for end in line_ends:
        if end - begin > limit and last > begin:
            parts.append((begin, last))
            begin = last
        while end - begin > most:
            parts.append((begin, begin + most))
            begin += most
        last = end
    return [*parts, (begin, last)]


def _bits(seed: int, stream: int, size: int) -> NDArray[np.uint64]:
    # Raw bits: numpy promises that these never change.
    return np.random.PCG64(np.random.SeedSequence([seed, stream])).random_raw(size)
