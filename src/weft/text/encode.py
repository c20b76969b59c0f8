"""Text to the ids that a model reads: the one place where anything is ever cut."""

from collections.abc import Sequence
from typing import NamedTuple

from weft.text.tokenizer import Tokenizer

__all__ = ["Encoded", "encode_lines"]


class Encoded(NamedTuple):
    """The ids of one text, and whether they are, or before a cut were, more than a model takes."""

    ids: list[int]
    over: bool


def encode_lines(
    tokenizer: Tokenizer, texts: Sequence[str], *, prefix: int | None, maximum: int, cut: bool = False
) -> list[Encoded]:
    """Each text as `prefix` (a language tag, say), its own ids, and the end of the sequence.

    `maximum` counts all of these. What is longer is flagged, and stays whole unless `cut` asks for its
    beginning alone; the end of the sequence is kept then too.
    """
    start = [] if prefix is None else [prefix]
    room = maximum - len(start) - 1
    if room < 1:
        raise ValueError(f"a maximum of {maximum} ids leaves no room for text")
    return [
        Encoded([*start, *(ids[:room] if cut else ids), tokenizer.eos_id], over=len(ids) > room)
        for ids in tokenizer.encode(texts)
    ]
