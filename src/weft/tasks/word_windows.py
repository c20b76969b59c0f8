"""Words as an encoder reads them: by their first tokens, in windows where a sentence is long."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.network import Network
from weft.tasks.entities import Sentence
from weft.tasks.tags import NOTHING, PART
from weft.text.encode import Reading
from weft.text.tokenizer import Layout, Spans, Tokenizer

__all__ = ["Window", "Windows", "first_tokens", "predict", "read_sentences", "spaced"]

OVERLAP = 4  # a window begins with the last one of so many parts of the one before


class Window(NamedTuple):
    """What the model reads at once, the numbers of the words that it is asked for, and where their first tokens stand."""

    reading: Reading
    words: NDArray[np.int64]
    at: NDArray[np.int64]


class Windows(NamedTuple):
    """All that is read of a sentence; and of each word the first token, or NOTHING, or PART of the word before."""

    windows: tuple[Window, ...]
    tokens: NDArray[np.int64]


def spaced(sentence: Sentence) -> str:
    """The words with one space between them, which is how a model reads a text, however it was written."""
    return " ".join(sentence.text[begin:end] for begin, end in sentence.words)


def read_sentences(sentences: Sequence[Sentence], tokenizer: Tokenizer, *, maximum: int) -> list[Windows]:
    """Each sentence as it is read, in windows of up to `maximum` tokens."""
    tokens = tokenizer.spans([spaced(sentence) for sentence in sentences])
    return [
        _in_windows(spans, first_tokens(sentence.words, spans.offsets), tokenizer.layout, maximum=maximum)
        for sentence, spans in zip(sentences, tokens, strict=True)
    ]


def first_tokens(words: Sequence[tuple[int, int]], offsets: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Each word's first token, NOTHING, or PART where all of its tokens begin in the word before.

    The words stand with one space between them, whatever they had; `offsets` are the tokens' characters in that text.

    >>> first_tokens([(0, 2), (9, 14), (14, 15)], [(0, 2), (3, 5), (5, 10)]).tolist()
    [0, 1, -2]
    """
    tokens = [token for token, (begin, end) in enumerate(offsets) if begin < end]
    firsts: list[int] = []
    at = place = reach = 0  # where the word begins, the token looked at, and where those before it end
    for begin, end in words:
        after = at + end - begin
        while place < len(tokens) and offsets[tokens[place]][0] < at:
            reach, place = offsets[tokens[place]][1], place + 1
        if place < len(tokens) and offsets[tokens[place]][0] < after:
            firsts.append(tokens[place])
        else:
            firsts.append(PART if reach > at else NOTHING)
        at = after + 1
    return np.array(firsts, dtype=np.int64)


def _in_windows(spans: Spans, tokens: NDArray[np.int64], layout: Layout, *, maximum: int) -> Windows:
    """Windows over all of the tokens; each word is asked of the one in which more stands around it."""
    room = maximum - len(layout.before) - len(layout.after)
    overlap = room // OVERLAP
    starts = range(0, max(1, len(spans.ids) - overlap), room - overlap)
    windows = []
    for start in starts:
        low = start + overlap // 2 if start else 0
        high = len(spans.ids) if start == starts[-1] else start + room - overlap + overlap // 2
        words = np.flatnonzero((tokens >= low) & (tokens < high))
        if len(words):
            part = Spans(spans.ids[start : start + room], spans.offsets[start : start + room])
            windows.append(Window(_reading(part, layout), words, tokens[words] - start + len(layout.before)))
    return Windows(tuple(windows), tokens)


def _reading(part: Spans, layout: Layout) -> Reading:
    before, after, none = len(layout.before), len(layout.after), (0, 0)
    return Reading(
        ids=[*layout.before, *part.ids, *layout.after],
        segments=[0] * (before + len(part.ids) + after),
        texts=[*[0] * before, *[1] * len(part.ids), *[0] * after],
        offsets=[*[none] * before, *part.offsets, *[none] * after],
        over=False,
    )


def predict(network: Network, read: Sequence[Windows], *, labels: int) -> list[NDArray[np.float32]]:
    """Log-probabilities of the labels of each sentence's words (W, L); no sentence's depend on the others.

    Those of words without a token of their own are 0.
    """
    found = [np.zeros((len(each.tokens), labels), dtype=np.float32) for each in read]
    windows = [(number, window) for number, each in enumerate(read) for window in each.windows]
    ids = [window.reading.ids for _, window in windows]
    for rows, scores in network.ask("tag", ids, [window.reading.segments for _, window in windows]):
        shares = scores - np.logaddexp.reduce(scores, axis=-1, keepdims=True)  # (R, T, L)
        for number, (sentence, window) in enumerate(windows[row] for row in rows):
            found[sentence][window.words] = shares[number, window.at]
    return found
