"""Texts whose named entities are marked: CoNLL's columns, and JSON Lines with character spans."""

import glob
import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from weft.data.files import File, StandardInput, at_home
from weft.errors import UserError

__all__ = ["Columns", "Mark", "Marked", "open_files", "read_columns", "read_marked"]

DOCUMENT = "-DOCSTART-"  # stands where a document begins
JSON_LINES = (".jsonl", ".ndjson", ".json")
SHOWN = 40  # characters of a value that is named in an error


class Columns(NamedTuple):
    """The words of a sentence and their tags, one on each line from `line` on."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    path: str
    line: int


class Mark(NamedTuple):
    """An entity: the characters from `start` to before `end`, counted from 0."""

    start: int
    end: int
    label: str


class Marked(NamedTuple):
    """A text and its entities, in their order; none overlap."""

    text: str
    entities: tuple[Mark, ...]
    path: str
    line: int


def open_files(specs: Sequence[str]) -> list[tuple[File, bool]]:
    """The files of some names and patterns, - for standard input, and of each whether it holds JSON Lines."""
    files = [StandardInput() if name == "-" else File(name) for spec in specs for name in _names(spec)]
    return [(file, file.suffix in JSON_LINES) for file in files]


def _names(spec: str) -> list[str]:
    path = at_home(spec)
    if path.is_file() or not glob.has_magic(spec):
        return [spec]
    names = sorted(glob.glob(str(path)))  # noqa: PTH207 - unlike Path.glob, from any folder
    if not names:
        raise UserError(f"{spec}: no file fits this pattern")
    return names


def read_columns(file: File) -> Iterator[Columns]:
    """Sentences from lines with a word in the first column and its tag in the last, blank lines between them.

    Columns stand apart by tabs, and where a line has none by white space (Tjong Kim Sang and De Meulder 2003, section
    2.1). Marks of documents part sentences too. Raises UserError with the line of what has one column alone.
    """
    words: list[str] = []
    tags: list[str] = []
    number = 0
    for number, line in file.lines():
        cells = _cells(line)
        if cells and cells[0] != DOCUMENT:
            word, tag = _word_and_tag(cells, line, f"{file.name}:{number}")
            words.append(word)
            tags.append(tag)
        elif words:
            yield Columns(tuple(words), tuple(tags), file.name, number - len(words))
            words, tags = [], []
    if words:
        yield Columns(tuple(words), tuple(tags), file.name, number - len(words) + 1)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.rstrip().split("\t")] if "\t" in line.strip() else line.split()


def _word_and_tag(cells: list[str], line: str, place: str) -> tuple[str, str]:
    if len(cells) < 2:
        raise UserError(
            f'{place}: one column alone, "{line.strip()[:SHOWN]}": a word and its tag are needed, with white space or a '
            "tab between"
        )
    if not cells[0]:
        raise UserError(f"{place}: no word before the tag")
    return cells[0], cells[-1]


def read_marked(file: File) -> Iterator[Marked]:
    """Texts from lines as in {"text": "In Rome.", "entities": [{"start": 3, "end": 7, "label": "LOC"}]}.

    An entity may also be [3, 7, "LOC"]. Empty lines are passed over. Raises UserError with the line of what is no JSON, of
    a field that is missing, and of an entity that is out of the text, ends before it begins, or overlaps another.
    """
    for number, line in file.lines():
        if not line.strip():
            continue
        place = f"{file.name}:{number}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{place}: not JSON: {error}") from error
        if not isinstance(record, dict):
            raise UserError(f'{place}: not an object with "text" and "entities"')
        text = _text(record.get("text"), place)
        entities = record.get("entities")
        if not isinstance(entities, list):
            raise UserError(f'{place}: no list of "entities": write [] for a text that holds none')
        marks = sorted(_mark(entity, text, place) for entity in entities)
        for before, after in pairwise(marks):
            if after.start < before.end:
                raise UserError(
                    f"{place}: the entities {_shown(before)} and {_shown(after)} overlap: keep one of them"
                )
        yield Marked(text, tuple(marks), file.name, number)


def _text(text: Any, place: str) -> str:
    if not isinstance(text, str):
        raise UserError(f'{place}: no text in field "text"')
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f'{place}: field "text" holds half of a surrogate pair at character {error.start}'
        ) from error
    return text


def _mark(entity: Any, text: str, place: str) -> Mark:
    values = [entity.get(name) for name in Mark._fields] if isinstance(entity, dict) else entity
    match values:
        case [int(start), int(end), str(label)] if not isinstance(start, bool) and not isinstance(end, bool):
            mark = Mark(start, end, label)
        case _:
            raise UserError(
                f'{place}: {json.dumps(entity, ensure_ascii=False)[:SHOWN]} is no entity: write {{"start": 3, "end": 7, '
                '"label": "LOC"}'
            )
    if not label.strip() or not label.isprintable():
        raise UserError(f"{place}: the entity {_shown(mark)} has a label that is no word")
    if start >= end:
        raise UserError(f"{place}: the entity {_shown(mark)} ends before it has begun")
    if start < 0 or end > len(text):
        raise UserError(
            f"{place}: the entity {_shown(mark)} is not in the text, whose {len(text)} characters are counted from 0"
        )
    return mark


def _shown(mark: Mark) -> str:
    return f"{mark.start} to {mark.end} ({mark.label!r})"
