"""Text to the ids that a model reads: the one place where anything is ever cut."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

__all__ = ["Encoded", "Encoder", "encode_lines"]


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
    tokenizer: Encoder, texts: Sequence[str], *, prefix: int | None, maximum: int, cut: bool = False
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
