"""Plain text as a language model reads it: whole texts, the ends of their lines included."""

from collections.abc import Iterator, Sequence
from itertools import chain

from weft.data.packing import FIELD
from weft.data.sources import Example, Sources, is_table, open_sources
from weft.text.tokenizer import Tokenizer

__all__ = ["OpenTexts", "encode_texts", "lines_of", "loses_line_ends", "open_texts"]

OpenTexts = list[tuple[Sources, str]]
"""Sources, each with the name of the field that its text stands in."""


def open_texts(specs: Sequence[str], *, columns: Sequence[str] | None, text_column: str) -> OpenTexts:
    """Open files of text, and tables whose texts stand in a column."""
    opened = []
    for spec in specs:
        sources = open_sources([spec], columns=columns)
        field = FIELD if all(not is_table(source) for source in sources.sources) else text_column
        opened.append((sources.of(field), field))
    return opened


def lines_of(opened: OpenTexts) -> Iterator[Example]:
    """The lines of all texts with their ends, and after each text an empty one. A file is a text, or a table's row."""
    for each, field in opened:
        for source in each.sources:
            table, line = is_table(source), 0
            for line, (text,) in source.rows([field]):
                yield Example({FIELD: text if table else f"{text}\n"}, source.name, line)
                if table:
                    yield Example({FIELD: ""}, source.name, line)
            if not table:
                yield Example({FIELD: ""}, source.name, line)


def encode_texts(tokenizer: Tokenizer, lines: Sequence[str], *, between: Sequence[int]) -> list[list[int]]:
    """The ids of lines as `lines_of` gives them, those `between` texts in place of an empty one.

    To a tokenizer of words a line's end is no token of its own: it is the end token, as data sets of words have it, and
    nothing more stands between texts.
    """
    if not loses_line_ends(tokenizer):
        encoded = tokenizer.encode(lines)
        return [ids if line else list(between) for line, ids in zip(lines, encoded, strict=True)]
    parts = [line.removesuffix("\n").split("\n") if line else [] for line in lines]
    ids = iter(tokenizer.encode(list(chain.from_iterable(parts))))
    return [[id_ for _ in each for id_ in (*next(ids), tokenizer.eos_id)] for each in parts]


def loses_line_ends(tokenizer: Tokenizer) -> bool:
    """Whether a line's end is white space like any other to a tokenizer, as to one of words."""
    line, ended = tokenizer.encode(["a", "a\n"])
    return line == ended
