"""A question and its context in windows, and from the scores of the windows' tokens back to one answer."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from weft.network import Network
from weft.text.encode import read_windows
from weft.text.tokenizer import Layout, Spans

__all__ = [
    "NO_ANSWER",
    "Passage",
    "Span",
    "SpanScores",
    "Window",
    "join_windows",
    "read_passage",
    "span_scores",
    "window_scores",
]

NO_ANSWER = 0  # the token of each window that stands for "no answer here": its first one


class Window(NamedTuple):
    """What the model reads at once: `size` tokens of the context, from its token `start` on, stand at `at`.

    `open` (T,) marks the tokens at which an answer may begin and end: those of the context that stand for characters, and
    the first one of all for no answer.
    """

    ids: NDArray[np.int32]
    segments: NDArray[np.uint8]
    open: NDArray[np.bool_]
    at: int
    start: int
    size: int


class Passage(NamedTuple):
    """All windows of a question and its context; for each token of the context its characters (begin, end), (N, 2)."""

    windows: tuple[Window, ...]
    offsets: NDArray[np.int32]

    def tokens(self, begin: int, end: int) -> tuple[int, int] | None:
        """The first and the last of the context's tokens with one of these characters; None where there is none."""
        touched = np.flatnonzero(
            (self.offsets[:, 0] < self.offsets[:, 1])
            & (self.offsets[:, 0] < end)
            & (self.offsets[:, 1] > begin)
        )
        return (int(touched[0]), int(touched[-1])) if len(touched) else None


class Span(NamedTuple):
    """Characters of the context, and how they score as the answer."""

    begin: int
    end: int
    score: float


class SpanScores(NamedTuple):
    """How each span of a context scores, by its first token and how many more it has, (N, L); and how no answer does.

    Minus infinity stands for what is no span.
    """

    spans: NDArray[np.float32]
    none: float
    offsets: NDArray[np.int32]

    def best(self, count: int) -> list[Span]:
        """So many spans of different characters, the best first; fewer where there are no more."""
        flat = self.spans.ravel()
        order = (
            np.argsort(-flat, kind="stable") if count > 1 else np.array([flat.argmax()] if len(flat) else [])
        )
        found: dict[tuple[int, int], Span] = {}
        for place in order.tolist():
            if len(found) == count or flat[place] == -np.inf:
                break
            first, more = divmod(int(place), self.spans.shape[1])
            begin, end = int(self.offsets[first, 0]), int(self.offsets[first + more, 1])
            found.setdefault((begin, end), Span(begin, end, float(flat[place])))
        return list(found.values())

    def answer(self, threshold: float | None) -> Span | None:
        """The best span, where it is better than no answer by more than the threshold; without one, in any case."""
        best = self.best(1)
        return best[0] if best and (threshold is None or self.margin > threshold) else None

    @property
    def margin(self) -> float:
        """How much better than no answer the best span is; minus infinity where there is no span."""
        return float(self.spans.max(initial=-np.inf)) - self.none

    def probability(self, score: float) -> float:
        """How likely something with this score is, among all spans and no answer."""
        everything = np.append(self.spans[np.isfinite(self.spans)], self.none).astype(np.float64)
        return float(np.exp(score - np.logaddexp.reduce(everything)))


def read_passage(layout: Layout, question: Spans, context: Spans, *, length: int, stride: int) -> Passage:
    """The question before each window of the context; a UserError where it leaves no room for it."""
    windows: list[Window] = []
    offsets: list[tuple[int, int]] = []
    for reading in read_windows(layout, question, context, length=length, stride=stride):
        inside = np.array(reading.texts) == 2
        places = np.flatnonzero(inside)
        at, size = (int(places[0]), len(places)) if len(places) else (0, 0)
        start = len(offsets) - stride if windows else 0
        own = reading.offsets[at : at + size]
        offsets += own[len(offsets) - start :]
        characters = np.array(reading.offsets).reshape(-1, 2)
        answerable = inside & (characters[:, 0] < characters[:, 1])
        answerable[NO_ANSWER] = True
        ids, segments = np.array(reading.ids, np.int32), np.array(reading.segments, np.uint8)
        windows.append(Window(ids, segments, answerable, at, start, size))
    return Passage(tuple(windows), np.array(offsets, np.int32).reshape(-1, 2))


def window_scores(network: Network, windows: Sequence[Window]) -> list[NDArray[np.float32]]:
    """How each window's tokens score as an answer's first one and as its last, (T, 2), minus infinity where a token is not
    open; no window's scores depend on the others."""
    found: dict[int, NDArray[np.float32]] = {}
    ids, segments = [window.ids for window in windows], [window.segments for window in windows]
    for rows, scores in network.ask("answer", ids, segments):
        allowed = np.stack([windows[row].open for row in rows])[..., None]
        found.update(zip(rows.tolist(), np.where(allowed, scores, np.float32(-np.inf)), strict=True))
    return [found[row] for row in range(len(windows))]


def join_windows(
    passages: Sequence[Passage], scores: Sequence[NDArray[np.float32]], *, longest: int
) -> list[SpanScores]:
    """How the spans of each passage score, from the scores of the windows of all, one after the other."""
    rest = iter(scores)
    return [
        span_scores(passage, [next(rest) for _ in passage.windows], longest=longest) for passage in passages
    ]


def span_scores(passage: Passage, scores: Sequence[NDArray[np.float32]], *, longest: int) -> SpanScores:
    """From the scores (T, 2) of each window's tokens to those of spans of up to `longest` tokens: first's plus last's.

    What several windows hold has the best of its scores, and no answer has the worst of its own: each window has to say
    that there is none (Devlin et al. 2019, sections 4.2 and 4.3, and the published code).
    """
    spans = np.full((len(passage.offsets), longest), -np.inf, dtype=np.float32)
    for window, found in zip(passage.windows, scores, strict=True):
        begins, ends = found[window.at : window.at + window.size].T
        beyond = np.full(longest, -np.inf, dtype=np.float32)
        band = begins[:, None] + sliding_window_view(np.concatenate([ends, beyond]), longest)[: window.size]
        part = spans[window.start : window.start + window.size]
        np.maximum(part, band, out=part)
    none = min(float(found[NO_ANSWER].sum()) for found in scores)
    return SpanScores(spans, none, passage.offsets)
