"""Rows of pieces: every token in one of them, and hardly a place without a token."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from weft.data.packing import find_documents, hold_out_tokens, pack, pair_up

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=60).filter(any)
AROUND = 2


def documents_of(sizes: list[int]) -> NDArray[np.int64]:
    ends = np.cumsum(sizes)
    return np.stack([ends - sizes, ends], axis=1)


def tokens_of(ranges: NDArray[np.int64]) -> list[int]:
    return [token for begin, end in ranges.tolist() for token in range(begin, end)]


@given(LENGTHS)
def test_documents_are_what_stands_between_empty_lines(lengths: list[int]) -> None:
    found = find_documents(np.array(lengths))
    groups = [
        [len(part) for part in group.split()]
        for group in " ".join("x" * n or "|" for n in lengths).split("|")
    ]
    assert (found[:, 1] - found[:, 0]).tolist() == [sum(group) for group in groups if group]
    assert tokens_of(found) == list(range(sum(lengths)))


@given(st.lists(st.integers(1, 90), min_size=1, max_size=50), st.integers(5, 40))
def test_every_token_is_in_one_row_and_none_is_too_long(sizes: list[int], room: int) -> None:
    documents = documents_of(sizes)
    packing = pack(documents, room=room, edges=AROUND)
    assert sorted(tokens_of(packing.pieces)) == tokens_of(documents)
    whole = [packing.row(number) for number in range(len(packing))]
    full = [int((row[:, 1] - row[:, 0] + AROUND).sum()) for row in whole]
    assert min(map(len, whole)) > 0
    assert max(full) <= room
    assert packing.lengths.tolist() == [
        size - AROUND * len(row) for size, row in zip(full, whole, strict=True)
    ]
    # No piece crosses from one document to another.
    borders = documents[:, 1]
    owner = np.searchsorted(borders, packing.pieces, side="right")
    assert np.array_equal(owner[:, 0], np.searchsorted(borders, packing.pieces[:, 1] - 1, side="right"))
    again = pack(documents, room=room, edges=AROUND)
    assert np.array_equal(again.pieces, packing.pieces)
    assert np.array_equal(again.firsts, packing.firsts)


def test_rows_are_full() -> None:
    sizes = np.random.default_rng(0).lognormal(4, 1.2, 5000).astype(int) + 1
    packing = pack(documents_of(sizes.tolist()), room=128, edges=AROUND)
    assert len(packing) * 128 < 1.002 * (sizes.sum() + AROUND * len(packing.pieces))


def test_a_document_that_is_too_long_fills_rows_of_its_own() -> None:
    packing = pack(documents_of([25, 3]), room=12, edges=AROUND)
    assert [packing.row(number).tolist() for number in range(len(packing))] == [
        [[0, 10]],
        [[10, 20]],
        [[20, 25], [25, 28]],
    ]


def test_documents_are_held_out_by_the_seed() -> None:
    documents = documents_of(np.random.default_rng(0).integers(1, 60, 400).tolist())
    kept, held = hold_out_tokens(documents, tokens=1000, seed=1)
    assert 940 < len(tokens_of(held)) <= 1000
    assert sorted(kept.tolist() + held.tolist()) == documents.tolist()
    assert kept.tolist() == sorted(kept.tolist())
    assert np.array_equal(hold_out_tokens(documents, tokens=1000, seed=1)[1], held)
    assert not np.array_equal(hold_out_tokens(documents, tokens=1000, seed=2)[1], held)


def test_a_document_that_is_most_of_the_text_is_not_held_out() -> None:
    documents = documents_of([5] * 50 + [100_000] + [5] * 50)
    for seed in range(9):
        kept, held = hold_out_tokens(documents, tokens=100, seed=seed)
        assert len(tokens_of(held)) == 100
        assert (kept[:, 1] - kept[:, 0]).max() == 100_000


def test_of_few_documents_the_ends_are_held_out() -> None:
    kept, ends = hold_out_tokens(documents_of([100, 1, 5]), tokens=10, seed=1)
    assert kept.tolist() == [[0, 91], [100, 101], [101, 105]]
    assert ends.tolist() == [[91, 100], [105, 106]]


@given(st.lists(LENGTHS, min_size=1, max_size=12), st.integers(3, 30), st.integers(0, 3))
def test_pairs_follow_each_other_or_are_of_two_documents(
    lines: list[list[int]], most: int, seed: int
) -> None:
    lengths = np.array([length for document in lines for length in [*document, 0]])
    documents, line_ends = find_documents(lengths), lengths.cumsum()
    pairs = pair_up(documents, line_ends, most=most, seed=seed)
    assert len(pairs.follows) == len(pairs.packing)
    used = tokens_of(pairs.packing.pieces)
    assert len(used) == len(set(used))
    for number, follows in enumerate(pairs.follows):
        (begin, middle), (second, end) = pairs.packing.row(number).tolist()
        assert 0 < middle - begin <= most
        assert 0 < end - second <= most
        same = np.searchsorted(documents[:, 1], begin, side="right") == np.searchsorted(
            documents[:, 1], second, side="right"
        )
        assert (second == middle and same) if follows else not same


def test_half_of_the_pairs_follow_each_other_and_nothing_is_lost() -> None:
    chance = np.random.default_rng(0)
    lengths = np.concatenate([[*chance.integers(5, 30, chance.integers(1, 20)), 0] for _ in range(300)])
    documents, line_ends = find_documents(lengths), lengths.cumsum()
    pairs = pair_up(documents, line_ends, most=62, seed=1)
    assert abs(pairs.follows.mean() - 0.5) < 0.01
    assert pairs.alone <= 3
    whole = np.isin(pairs.packing.pieces, np.concatenate([[0], line_ends])).all()
    assert whole  # parts begin and end with lines
    other = pair_up(documents, line_ends, most=62, seed=2)
    assert not np.array_equal(other.packing.pieces, pairs.packing.pieces)
    one_seed = pair_up(documents, line_ends, most=62, seed=1)
    assert np.array_equal(one_seed.packing.pieces, pairs.packing.pieces)
    # Neither document comes first more often.
    others = pairs.packing.pieces.reshape(-1, 4)[~pairs.follows]
    assert 0.4 < (others[:, 0] < others[:, 2]).mean() < 0.6


@pytest.mark.parametrize("lines", [[[5]], [[5], [7]]])
def test_single_lines_follow_nothing(lines: list[list[int]]) -> None:
    lengths = np.array([length for document in lines for length in [*document, 0]])
    pairs = pair_up(find_documents(lengths), lengths.cumsum(), most=62, seed=1)
    assert not pairs.follows.any()
    assert pairs.alone == len(lines) % 2
