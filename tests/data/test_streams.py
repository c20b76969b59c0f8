"""A text as one stream: rows follow each other, wrap where they are shifted, and know where they began."""

from pathlib import Path

import numpy as np
import pytest

from weft.data.packing import FIELD
from weft.data.sources import Example, Report
from weft.data.store import TokenStore, build_store
from weft.data.streams import Stream

LINES = ["3 4 5", "6 7", "8", "9 10 11 12", "13 14 15 16 17 18 19 20"]  # tokens that count from 3 to 20


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    """Lines of two files; an empty row stands between them."""
    places = [("one.txt", 1), ("one.txt", 2), ("one.txt", 3), ("one.txt", 3), ("two.txt", 1), ("two.txt", 2)]
    texts = [*LINES[:3], "", *LINES[3:]]
    examples = [Example({FIELD: text}, *place) for text, place in zip(texts, places, strict=True)]
    return build_store(
        tmp_path / "store",
        examples,
        fields=[FIELD],
        encode=lambda lines: [[int(word) for word in line.split()] for line in lines],
        vocab_size=30,
        fingerprint="a",
        report=Report(),
    )


def test_rows_follow_each_other_and_share_a_token(store: TokenStore) -> None:
    stream = Stream(store, begin=0, end=18, length=4)
    assert len(stream) == 4  # the last token of all but one begins no row
    assert stream.lengths.tolist() == [[4]] * 4
    assert stream.rows(np.array([0, 1, 3])).tolist() == [
        [3, 4, 5, 6, 7],
        [7, 8, 9, 10, 11],
        [15, 16, 17, 18, 19],
    ]


def test_each_token_is_predicted_once_in_its_turn(store: TokenStore) -> None:
    stream = Stream(store, begin=0, end=17, length=4)
    labels = stream.rows(np.arange(len(stream)))[:, 1:].flatten()
    assert labels.tolist() == list(range(4, 20))


def test_a_part_of_the_store_is_never_left(store: TokenStore) -> None:
    stream = Stream(store, begin=5, end=15, length=3)
    assert len(stream) == 3
    for shift in range(25):
        rows = stream.rows(np.arange(3), shift=shift)
        assert rows.min() >= 3 + 5
        assert rows.max() < 3 + 15
        assert (np.diff(rows, axis=1) == 1).all()  # none goes round the end


def test_a_shift_begins_later_and_wraps(store: TokenStore) -> None:
    stream = Stream(store, begin=0, end=18, length=4)
    shifted = stream.rows(np.arange(4), shift=3)
    assert shifted[:, 0].tolist() == [6, 10, 14, 4]  # from token 3 + 3 on, and round 18 - 4
    seen = {int(stream.rows(np.array([0]), shift=shift)[0, 0]) for shift in range(14)}
    assert seen == set(range(3, 17))  # each place that has a whole row is a beginning


@pytest.mark.parametrize(("size", "rows"), [(0, 0), (4, 0), (5, 1), (8, 1), (9, 2)])
def test_a_short_stream_has_the_rows_that_are_whole(store: TokenStore, size: int, rows: int) -> None:
    assert len(Stream(store, begin=2, end=2 + size, length=4)) == rows


def test_a_place_is_the_file_and_line_where_a_row_begins(store: TokenStore) -> None:
    stream = Stream(store, begin=0, end=18, length=3)
    assert [stream.place(row) for row in range(len(stream))] == [
        "one.txt:1",
        "one.txt:2",
        "two.txt:1",
        "two.txt:1",
        "two.txt:2",
    ]
    assert Stream(store, begin=5, end=18, length=3).place(0) == "one.txt:3"
