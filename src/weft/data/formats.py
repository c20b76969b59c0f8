"""Table formats: each is one function from a file to its columns and rows, entered in `FORMATS` by suffix."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from weft.data.files import File
from weft.errors import UserError, suggest

__all__ = ["FORMATS", "Format", "Several", "Table", "open_lines", "open_tsv", "table_of_records"]

Row = tuple[int, list[str]]
"""A line number and the values of the wanted columns."""


class Several(str):
    """The name of a column whose values may be lists of texts, which are then given as JSON."""

    __slots__ = ()


class Table(NamedTuple):
    """The columns of a file, and a function from wanted columns to rows, to be called at will.

    Columns that hold `lists` are had by names that are `Several`.
    """

    columns: tuple[str, ...]
    rows: Callable[[Sequence[str]], Iterator[Row]]
    lists: tuple[str, ...] = ()


Format = Callable[[File, Sequence[str] | None], Table]
"""Opens a file; the columns, if any, name those of a file without a header."""

_NOTHING = object()
"""The record of an empty line."""

SKIPPED = "_"
"""Stands for a column without a name, which nobody wants."""


def open_lines(file: File, columns: Sequence[str] | None) -> Table:
    """Plain text: each line is an example with the one field "text"."""
    return Table(("text",), lambda _: ((number, [line]) for number, line in file.lines()))


def open_tsv(file: File, columns: Sequence[str] | None) -> Table:
    """Tab-separated values: no quoting, a line feed ends a row, a tab a cell."""
    return _open_cells(file, columns, lambda: ((number, line.split("\t")) for number, line in file.lines()))


def open_csv(file: File, columns: Sequence[str] | None) -> Table:
    """Comma-separated values, quoted as in RFC 4180: a quoted cell may hold commas and line ends."""
    return _open_cells(file, columns, lambda: _csv_rows(file))


def open_jsonl(file: File, columns: Sequence[str] | None) -> Table:
    """JSON Lines: one object a line; texts one level further down are columns too."""
    return table_of_records(file.name, lambda: _json_records(file))


def open_parquet(file: File, columns: Sequence[str] | None) -> Table:
    """Parquet, through the optional pyarrow library; the row's number takes the line's place."""
    return table_of_records(file.name, lambda: _parquet_records(file))


FORMATS: dict[str, Format] = {
    ".tsv": open_tsv,
    ".csv": open_csv,
    ".jsonl": open_jsonl,
    ".ndjson": open_jsonl,
    ".json": open_jsonl,
    ".parquet": open_parquet,
}


def table_of_records(name: str, records: Callable[[], Iterable[tuple[int, object]]]) -> Table:
    """A table of objects that name their own fields; the first one's are the columns.

    Text and numbers are values; so are those in an object one level down, as in {"translation": {"de": …}}.
    """
    first = next(((number, record) for number, record in records() if record is not _NOTHING), None)
    if first is None:
        raise UserError(f"{name} holds no examples")
    columns = tuple(_flattened(first[1], f"{name}:{first[0]}"))

    def rows(wanted: Sequence[str]) -> Iterator[Row]:
        for number, record in records():
            if record is _NOTHING:
                yield number, [""] * len(wanted)
                continue
            fields = _flattened(record, f"{name}:{number}")
            if lists := {column for column in wanted if isinstance(column, Several)}:
                found = _lists(record, f"{name}:{number}")
                fields |= {column: text for column, text in found.items() if column in lists}
            try:
                yield number, [fields[column] for column in wanted]
            except KeyError as error:
                column = str(error.args[0])
                raise UserError(
                    f'{name}:{number}: no text in field "{column}"{suggest(column, fields)} '
                    f"(there: {', '.join(fields) or 'nothing'})"
                ) from error

    return Table(columns, rows, lists=tuple(_lists(first[1], f"{name}:{first[0]}")))


def _open_cells(
    file: File, names: Sequence[str] | None, cells: Callable[[], Iterator[tuple[int, list[str]]]]
) -> Table:
    """A table whose first row is a header, unless `names` names the columns and the first row does not."""
    header_line, first = next(((number, row) for number, row in cells() if any(row)), (0, []))
    if not first:
        raise UserError(f"{file.name} holds no examples")
    header = [cell.strip() for cell in first]
    has_header = names is None or set(names) - {SKIPPED} <= set(header)
    columns = header if has_header else list(names or ())
    if len(columns) != len(header):
        raise UserError(
            f"{file.name}:{header_line}: {_count(len(header), 'column')} where --columns names {len(columns)}"
            f' ({", ".join(columns)}): name each, with "{SKIPPED}" for one to leave out'
        )
    for name in columns:
        if columns.count(name) > 1 and name not in ("", SKIPPED):
            hint = "; if that is the first example, name the columns with --columns" if names is None else ""
            raise UserError(f'{file.name}:{header_line}: two columns are called "{name}"{hint}')

    def rows(wanted: Sequence[str]) -> Iterator[Row]:
        positions = [columns.index(column) for column in wanted]
        for number, row in cells():
            if has_header and number <= header_line:
                continue
            if not any(row):  # an empty line: reported as such, and not as a ragged one
                yield number, [""] * len(wanted)
            elif len(row) != len(columns):
                raise UserError(
                    f"{file.name}:{number}: {_count(len(row), 'column')} where there should be "
                    f"{len(columns)} ({', '.join(columns)})"
                )
            else:
                yield number, [row[position] for position in positions]

    return Table(tuple(name for name in columns if name not in ("", SKIPPED)), rows)


def _csv_rows(file: File) -> Iterator[tuple[int, list[str]]]:
    number = 0

    def lines() -> Iterator[str]:
        nonlocal number
        for at, line in file.lines():
            number = at
            yield line + "\n"

    start = 1
    reader = csv.reader(lines(), strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{file.name}:{start}: not CSV: {error}: is a quotation mark left open, or not doubled?"
            ) from error
        if row is None:
            return
        yield start, row
        start = number + 1


def _json_records(file: File) -> Iterator[tuple[int, object]]:
    for number, line in file.lines():
        try:
            yield number, json.loads(line) if line.strip() else _NOTHING
        except (ValueError, RecursionError) as error:
            raise UserError(f"{file.name}:{number}: not JSON: {error}") from error


def _parquet_records(file: File) -> Iterator[tuple[int, object]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(f"{file.name}: Parquet needs pyarrow: pip install pyarrow") from error
    number = 0
    try:
        with parquet.ParquetFile(file.path) as table:
            for batch in table.iter_batches(batch_size=1024):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file.name}: unreadable after row {number}: {error}") from error


def _flattened(record: object, place: str) -> dict[str, str]:
    if not isinstance(record, Mapping):
        raise UserError(f"{place}: not an object with named fields")
    fields: dict[str, str] = {}
    for key, item in _items(record):
        text = "" if item is None else str(item) if isinstance(item, str | int | float) else None
        if text is not None:
            fields[key] = _whole(text, f'{place}: field "{key}"')
    return fields


def _lists(record: object, place: str) -> dict[str, str]:
    """The lists of texts or numbers in a record, as JSON."""
    return {
        key: json.dumps([_whole(str(each), f'{place}: field "{key}"') for each in item])
        for key, item in _items(record)
        if isinstance(item, list) and all(isinstance(each, str | int | float) for each in item)
    }


def _items(record: object) -> Iterator[tuple[str, object]]:
    """The names and values of a record, and of the objects in it."""
    for name, value in record.items() if isinstance(record, Mapping) else ():
        yield from value.items() if isinstance(value, Mapping) else ((name, value),)


def _whole(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{place} holds half of a surrogate pair at character {error.start}") from error
    return text


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
