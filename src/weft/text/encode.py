"""Text to the ids that a model reads: the one place where anything is ever cut."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from weft.errors import UserError
from weft.text.tokenizer import Layout, Spans, Tokenizer

__all__ = ["Encoded", "Encoder", "Reading", "encode_lines", "read_texts", "read_windows"]


class Encoder(Protocol):
    """What gives a text its ids."""

    @property
    def eos_id(self) -> int: ...
    def encode(self, texts: Sequence[str]) -> list[list[int]]: ...


class Encoded(NamedTuple):
    """The ids of one text, and whether they are, or before a cut were, more than a model takes."""

    ids: list[int]
    over: bool


def encode_lines(
    tokenizer: Encoder,
    texts: Sequence[str],
    *,
    prefix: int | None,
    maximum: int,
    cut: bool = False,
    ended: bool = True,
) -> list[Encoded]:
    """Each text as `prefix` (a language tag, say), its own ids, and, if it is to be `ended`, the end of the sequence.

    `maximum` counts all of these. What is longer is flagged, and stays whole unless `cut` asks for its
    beginning alone; the end of the sequence is kept then too.
    """
    start, end = [] if prefix is None else [prefix], [tokenizer.eos_id] if ended else []
    room = maximum - len(start) - len(end)
    if room < 1:
        raise ValueError(f"a maximum of {maximum} ids leaves no room for text")
    return [
        Encoded([*start, *(ids[:room] if cut else ids), *end], over=len(ids) > room)
        for ids in tokenizer.encode(texts)
    ]


class Reading(NamedTuple):
    """A text, or two, as an encoder reads them.

    For each id: its segment (1 for the second text and what stands after it), the text it is of (1 or 2; 0 for what
    stands around them), and its characters there (begin, end). `over`: they are, or before a cut were, more than a model
    takes.
    """

    ids: list[int]
    segments: list[int]
    texts: list[int]
    offsets: list[tuple[int, int]]
    over: bool


def read_texts(
    tokenizer: Tokenizer, texts: Sequence[str], pairs: Sequence[str] | None = None, *, maximum: int, cut: bool
) -> list[Reading]:
    """Each text, or each pair of texts, with what the tokenizer's layout puts around them.

    `maximum` counts all ids. What is longer is flagged, and stays whole unless `cut` asks for its beginning alone: of a
    pair's texts the longer one is cut first.
    """
    layout, firsts = tokenizer.layout, tokenizer.spans(texts)
    if pairs is None:
        room = _room(layout, maximum, pair=False)
        return [
            _read(layout, _head(first, room, cut=cut), None, over=len(first.ids) > room) for first in firsts
        ]
    room, readings = _room(layout, maximum, pair=True), []
    for first, second in zip(firsts, tokenizer.spans(pairs), strict=True):
        one, other = len(first.ids), len(second.ids)
        shorter = min(one, other, room // 2)
        over = one + other > room
        first = _head(first, max(shorter, room - other), cut=cut)
        second = _head(second, room - len(first.ids), cut=cut)
        readings.append(_read(layout, first, second, over=over))
    return readings


def read_windows(layout: Layout, first: Spans, second: Spans, *, length: int, stride: int) -> list[Reading]:
    """A pair as often as it takes to read all of the second text: windows of `length` ids, each of which begins with the
    last `stride` of the second text's ids in the one before (Devlin et al. 2019, section 4.2, its published code).

    Raises UserError where the first text leaves no room for that.
    """
    room = _room(layout, length, pair=True) - len(first.ids)
    if room < 1 or (room <= stride and room < len(second.ids)):
        raise UserError(
            f"a text of {len(first.ids)} tokens leaves no room for another in windows of {length} that overlap by {stride}"
        )
    starts = range(0, max(1, len(second.ids) - stride), room - stride) if room < len(second.ids) else [0]
    parts = [Spans(second.ids[at : at + room], second.offsets[at : at + room]) for at in starts]
    return [_read(layout, first, part, over=False) for part in parts]


def _room(layout: Layout, maximum: int, *, pair: bool) -> int:
    room = maximum - len(layout.before) - len(layout.after) - (len(layout.between) if pair else 0)
    if room < 2:
        raise ValueError(f"a maximum of {maximum} ids leaves no room for text")
    return room


def _head(spans: Spans, room: int, *, cut: bool) -> Spans:
    return Spans(spans.ids[:room], spans.offsets[:room]) if cut else spans


def _read(layout: Layout, first: Spans, second: Spans | None, *, over: bool) -> Reading:
    parts = [(layout.before, 0, 0, None), (first.ids, 0, 1, first.offsets)]
    if second is not None:
        parts += [(layout.between, 0, 0, None), (second.ids, 1, 2, second.offsets)]
    parts.append((layout.after, int(second is not None), 0, None))
    reading = Reading([], [], [], [], over)
    for ids, segment, text, offsets in parts:
        reading.ids.extend(ids)
        reading.segments.extend([segment] * len(ids))
        reading.texts.extend([text] * len(ids))
        reading.offsets.extend(offsets or [(0, 0)] * len(ids))
    return reading
