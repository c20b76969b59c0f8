"""Marks on a text: no score is lost, no character either, and what is for differs from what is against."""

import html
import re
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from weft.inspect.marks import Mark, find_marks, marked_html, signed, strongest, table_html


class Read(NamedTuple):
    ids: list[int]
    segments: list[int]
    texts: list[int]
    offsets: list[tuple[int, int]]


def read(*places: tuple[int, int, int]) -> Read:
    numbers = list(range(len(places)))
    return Read(numbers, [0] * len(places), [text for text, _, _ in places], [each[1:] for each in places])


def plain(content: str) -> str:
    return html.unescape(re.sub(r"<[^<>]*>", "", content))


def test_each_text_has_its_own_marks() -> None:
    found = read((0, 0, 0), (1, 0, 3), (1, 4, 7), (0, 0, 0), (2, 0, 2), (0, 0, 0))
    scores, tokens = [9.0, 1.0, -2.0, 9.0, 3.0, 9.0], ["<s>", "▁one", "▁two", "</s>", "▁me", "</s>"]
    assert find_marks(found, scores, tokens=tokens, text=1) == [
        Mark(0, 3, "▁one", 1.0),
        Mark(4, 7, "▁two", -2.0),
    ]
    assert find_marks(found, scores, tokens=tokens, text=2) == [Mark(0, 2, "▁me", 3.0)]


def test_tokens_of_the_same_characters_are_one_mark() -> None:
    found = read((1, 0, 1), (1, 2, 3), (1, 2, 3), (1, 2, 3), (1, 3, 4))
    marks = find_marks(found, [1.0, 2.0, 3.0, -1.0, 5.0], tokens=["a", "x", "y", "z", "b"], text=1)
    assert marks == [Mark(0, 1, "a", 1.0), Mark(2, 3, "xyz", 4.0), Mark(3, 4, "b", 5.0)]


def test_a_token_without_characters_counts_to_its_neighbour() -> None:
    found = read((1, 0, 0), (1, 0, 2), (1, 3, 3), (1, 4, 5), (1, 6, 6))
    marks = find_marks(found, [1.0, 2.0, 4.0, 8.0, 16.0], tokens=["▁", "so", "▁", "5", "▁"], text=1)
    assert marks == [Mark(0, 2, "▁so", 3.0), Mark(4, 5, "▁5▁", 28.0)]
    assert find_marks(read((1, 0, 0)), [1.0], tokens=["▁"], text=1) == []


@given(
    st.text(max_size=20),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6), st.floats(-9, 9)), max_size=9),
)
def test_no_score_and_no_character_is_lost(text: str, drawn: list[tuple[int, int, float]]) -> None:
    offsets = [(min(begin, len(text)), min(begin + size, len(text))) for begin, size, _ in sorted(drawn)]
    scores = [score for _, _, score in sorted(drawn)]
    found = read(*[(1, begin, end) for begin, end in offsets])
    marks = find_marks(found, scores, tokens=["x"] * len(scores), text=1)
    if any(begin < end for begin, end in offsets):
        assert abs(sum(mark.score for mark in marks) - sum(scores)) < 1e-9
        assert "".join(mark.token for mark in marks) == "x" * len(scores)
    assert all(one.end <= other.begin for one, other in pairwise(marks))
    focus = offsets[0] if offsets and offsets[0][0] < offsets[0][1] else None
    shown = marked_html(text, marks, focus=focus, largest=strongest(marks))
    assert plain(shown) == text
    assert shown.count("<mark>") == shown.count("</mark>") == (focus is not None)


def test_for_and_against_and_how_much() -> None:
    marks = [Mark(0, 4, "good", 2.0), Mark(5, 8, "but", -1.0), Mark(9, 10, "a", 0.01)]
    shown = marked_html("good but a <b>", marks, focus=None, largest=strongest(marks))
    assert shown == (
        '<span class="for s10" title="+2.00">good</span> <span class="against s5" title="−1.00">but</span> '
        '<span class="none" title="+0.01">a</span> &lt;b&gt;'
    )
    assert "−1.00" in table_html([("good but a <b>", marks[1])])
    assert [signed(score) for score in (0.5, -0.5, -0.001)] == ["+0.50", "−0.50", "0.00"]


def test_a_frame_cuts_a_mark_that_it_begins_in() -> None:
    shown = marked_html("abcd", [Mark(0, 3, "abc", 1.0)], focus=(1, 4), largest=1.0)
    part = '<span class="for s10" title="+1.00">{}</span>'
    assert shown == f"{part.format('a')}<mark>{part.format('bc')}d</mark>"


def test_without_any_evidence_nothing_is_shaded() -> None:
    assert marked_html("a", [Mark(0, 1, "a", 0.0)], focus=None, largest=0.0) == (
        '<span class="none" title="0.00">a</span>'
    )
