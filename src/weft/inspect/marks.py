"""Texts with their tokens shaded by what they add to an answer."""

import html
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

__all__ = ["Mark", "Read", "Span", "find_marks", "marked_html", "signed", "strongest", "table_html"]

Span = tuple[int, int]
"""Characters of a text: from the first to before the last."""

LEVELS = 10  # of shade, as many as page.css has


class Read(Protocol):
    """A text, or two, as an encoder reads them: see `weft.text.encode.Reading`."""

    @property
    def ids(self) -> Sequence[int]: ...
    @property
    def segments(self) -> Sequence[int]: ...
    @property
    def texts(self) -> Sequence[int]: ...
    @property
    def offsets(self) -> Sequence[Span]: ...


class Mark(NamedTuple):
    """What the characters of a text add to an answer; `token` is what was read there."""

    begin: int
    end: int
    token: str
    score: float


def find_marks(read: Read, scores: Sequence[float], *, tokens: Sequence[str], text: int) -> list[Mark]:
    """The marks of the first or the second text, in its order, of which no two overlap.

    Tokens that share characters, as the bytes of a letter do, become one mark. One without any, as a space by itself is,
    counts to the next, or the last one to the one before: no score is lost.
    """
    marks: list[Mark] = []
    waiting, added = "", 0.0
    for (begin, end), of, token, score in zip(read.offsets, read.texts, tokens, scores, strict=True):
        if of != text:
            continue
        waiting, added = waiting + token, added + score
        if begin == end:
            continue
        if marks and begin < marks[-1].end:
            marks[-1] = _grown(marks[-1], end, waiting, added)
        else:
            marks.append(Mark(begin, end, waiting, added))
        waiting, added = "", 0.0
    if marks:
        marks[-1] = _grown(marks[-1], marks[-1].end, waiting, added)
    return marks


def _grown(mark: Mark, end: int, token: str, score: float) -> Mark:
    return Mark(mark.begin, max(mark.end, end), mark.token + token, mark.score + score)


def strongest(marks: Iterable[Mark]) -> float:
    """The largest score, whichever its sign: what the darkest shade stands for."""
    return max((abs(mark.score) for mark in marks), default=0.0)


def signed(score: float) -> str:
    """A score as people read it.

    >>> signed(1.234), signed(-0.5), signed(-0.001)
    ('+1.23', '−0.50', '0.00')
    """
    rounded = f"{abs(score):.2f}"
    return rounded if float(rounded) == 0 else f"{'−' if score < 0 else '+'}{rounded}"


def marked_html(text: str, marks: Sequence[Mark], *, focus: Span | None, largest: float) -> str:
    """A text with its marks, and a frame around `focus`; the darkest shade stands for `largest`.

    What counts for the answer differs from what counts against it by the line below it too, and in words.
    """
    of_character = {at: mark for mark in marks for at in range(mark.begin, mark.end)}
    first, last = focus or (len(text), len(text))
    edges = {0, first, last, len(text), *(edge for mark in marks for edge in (mark.begin, mark.end))}
    parts = []
    for begin, end in pairwise(sorted(edges)):
        shown = _shaded(html.escape(text[begin:end]), of_character.get(begin), largest=largest)
        parts.append(f"{'<mark>' * (begin == first)}{shown}{'</mark>' * (end == last and first < last)}")
    return "".join(parts)


def _shaded(content: str, mark: Mark | None, *, largest: float) -> str:
    if mark is None:
        return content
    level = round(LEVELS * abs(mark.score) / largest) if largest else 0
    kind = ("for" if mark.score > 0 else "against") + f" s{level}" if level else "none"
    return f'<span class="{kind}" title="{signed(mark.score)}">{content}</span>'


def table_html(rows: Sequence[tuple[str, Mark]]) -> str:
    """Each mark's characters and score as a table, for who hears the page."""
    head = '<thead><tr><th scope="col">token</th><th scope="col">adds</th></tr></thead>'
    cells = "".join(
        f'<tr><th scope="row" dir="auto">{html.escape(text[mark.begin : mark.end])}</th><td>{signed(mark.score)}</td></tr>\n'
        for text, mark in rows
    )
    return f"<table>{head}<tbody>\n{cells}</tbody></table>"
