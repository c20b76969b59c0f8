"""From what a user names (files, patterns, hub data sets) to examples, none lost in silence."""

import glob
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

from weft.data.files import File, StandardInput, at_home
from weft.data.formats import FORMATS, Row, Several, open_csv, open_lines, open_tsv, table_of_records
from weft.errors import UserError, suggest

__all__ = ["Dropped", "Example", "Report", "Sources", "absolute", "complete", "is_table", "open_sources"]

_HUB = "hub:"
_LANGUAGE = re.compile(r"[\w-]{1,32}")
_SHOWN = 40  # characters of a cell that is named in an error
_BRACES = re.compile(r"\{([^{}]*)\}")


class Example(NamedTuple):
    """One example: its fields by name, and the place it stands at."""

    fields: dict[str, str]
    path: str
    line: int


class Source(NamedTuple):
    """One file, or several that belong line to line."""

    name: str
    columns: tuple[str, ...]
    stamp: str
    rows: Callable[[Sequence[str]], Iterator[Row]]
    has_cells: bool = False  # whether its columns may be named from outside
    field: str = "column"  # what a field of it is called
    lists: tuple[str, ...] = ()  # fields that hold lists


class Sources:
    """All the examples of some sources, one source after the other, any number of times.

    `fields` are the names of an example's fields; `stamp` changes when a file does.
    """

    def __init__(self, sources: Sequence[Source], *, fields: Sequence[str]) -> None:
        self.sources = tuple(sources)
        self.fields = tuple(fields)
        self.stamp = "\n".join([*(f"{source.name} {source.stamp}" for source in sources), *self.fields])

    def of(self, field: str) -> "Sources":
        """The same sources, read for this one field; a UserError where one of them has no such column."""
        for source in self.sources:
            if field not in source.columns:
                raise _no_column(field, source)
        return Sources(self.sources, fields=[field])

    def __iter__(self) -> Iterator[Example]:
        for source in self.sources:
            for line, values in source.rows(self.fields):
                yield Example(dict(zip(self.fields, values, strict=True)), source.name, line)


def is_table(source: Source) -> bool:
    """Whether a source's examples are whole texts, and not the lines of a text file."""
    is_file = at_home(source.name).is_file()  # and not standard input or a data set, which are tables
    return not is_file or File(source.name).suffix in FORMATS


def absolute(spec: str) -> str:
    """The same spec, to be opened from any folder.

    >>> absolute("hub:wmt14:de-en:train"), absolute("-"), absolute("/data/train.{de,en}")
    ('hub:wmt14:de-en:train', '-', '/data/train.{de,en}')
    >>> absolute("positive=/data/pos.txt")
    'positive=/data/pos.txt'
    """
    label, equals, path = spec.partition("=")
    if equals and "/" not in label and not at_home(spec).exists():
        return f"{label}={absolute(path)}"
    here = str(Path.cwd())
    # Signs of a pattern in the folder's own name would be read as such.
    if spec == "-" or spec.startswith(_HUB) or "{" in here or glob.has_magic(here):
        return spec
    return str(at_home(spec).absolute())


def open_sources(
    specs: Sequence[str],
    *,
    columns: Sequence[str] | None = None,
    fields: Sequence[str] | None = None,
    parallel: bool = False,
) -> Sources:
    """Open each of `specs`, and check that it has the `fields` (by default those that all of them have).

    A spec is one of
    - 'train.{de,en}.gz': files that belong line to line, the one group in braces naming the fields
    - a .tsv, .csv, .jsonl, .ndjson, .json or .parquet file: a table whose columns are the fields. A TSV or
      CSV has a header with their names, or else `columns`, which other sources do without, gives them ("_" for a
      column to leave out)
    - any other file: lines of plain text, with the one field "text"
    - '*.txt': every file that fits, in the order of their names
    - -: standard input, a table as in .tsv
    - hub:NAME, hub:NAME:SPLIT or hub:NAME:CONFIG:SPLIT: a data set, or a folder, as the `datasets` library reads
      it; SPLIT is "train" where it is left out or empty, CONFIG the data set's own default

    gzip is read directly. With `parallel` an example needs two fields or more, which are languages. Raises UserError,
    now or while reading, with the place of what is missing or malformed.
    """
    if not specs:
        raise UserError("no data is named")
    sources = [source for spec in specs for source in _open(spec, columns)]
    if fields is None:
        fields = [name for name in sources[0].columns if all(name in source.columns for source in sources)]
        if not fields:
            raise UserError(f"{' and '.join(specs)} have no column in common: name those that have")
    for source in sources:
        plain = source.columns == ("text",)
        for name in fields:
            if name not in source.columns and not (isinstance(name, Several) and name in source.lists):
                raise _split_by_shell(specs) if plain and parallel else _no_column(name, source)
        if parallel and len(fields) < 2:
            raise _split_by_shell(specs) if plain else _one_column(source)
        if parallel and source.field == "column":
            _check_languages(fields, source)
    return Sources(sources, fields=fields)


class Dropped(NamedTuple):
    """How many examples were left out for one reason, and the first places of these."""

    number: int
    places: tuple[str, ...]


@dataclass
class Report:
    """What became of every example that was read."""

    kept: int = 0
    dropped: dict[str, Dropped] = field(default_factory=dict)

    def drop(self, why: str, *, path: str, line: int) -> None:
        """Count one example that was left out; the first places of each reason are remembered."""
        count, places = self.dropped.get(why, Dropped(0, ()))
        if len(places) < 3:
            places = (*places, f"{path}:{line}")
        self.dropped[why] = Dropped(count + 1, places)

    def lines(self) -> list[str]:
        """The report to be read: what was kept, then a line for each reason.

        >>> report = Report(kept=1000)
        >>> report.drop("empty", path="train.tsv", line=7)
        >>> report.lines()
        ['1,000 examples kept', '1 left out as empty: train.tsv:7']
        """
        lines = [f"{self.kept:,} examples kept"]
        for why, (count, places) in self.dropped.items():
            more = ", …" if count > len(places) else ""
            lines.append(f"{count:,} left out as {why}: {', '.join(places)}{more}")
        return lines


def complete(examples: Iterable[Example], *, report: Report) -> Iterator[Example]:
    """The examples whose fields all hold more than white space; the others are left out and counted in `report`."""
    for example in examples:
        filled = sum(1 for text in example.fields.values() if text and not text.isspace())
        if filled == len(example.fields):
            report.kept += 1
            yield example
        else:
            report.drop("one-sided" if filled else "empty", path=example.path, line=example.line)


def _open(spec: str, columns: Sequence[str] | None) -> list[Source]:
    if spec == "-":
        return [_open_table(StandardInput(), columns)]
    if spec.startswith(_HUB):
        return [_open_hub(spec)]
    path = at_home(spec)
    if "{" in spec and not path.is_file():
        return [_open_aligned(spec)]
    if glob.has_magic(spec) and not path.is_file():
        names = sorted(glob.glob(str(path)))  # noqa: PTH207 - unlike Path.glob, from any folder
        if not names:
            raise UserError(f"{spec}: no file fits this pattern")
        return [_open_table(File(name), columns) for name in names]
    return [_open_table(File(spec), columns)]


def _open_table(file: File, columns: Sequence[str] | None) -> Source:
    opener = open_tsv if isinstance(file, StandardInput) else FORMATS.get(file.suffix, open_lines)
    table = opener(file, columns)
    has_cells = opener in (open_tsv, open_csv)
    return Source(file.name, table.columns, file.stamp, table.rows, has_cells=has_cells, lists=table.lists)


def _open_aligned(pattern: str) -> Source:
    groups = _BRACES.findall(pattern)
    names = groups[0].split(",") if groups else []
    if len(groups) != 1 or pattern.count("{") != 1 or len(names) < 2 or not all(names):
        raise UserError(
            f"{pattern}: a pattern has exactly one group in braces, of two languages or more, "
            "as in 'train.{de,en}.gz'"
        )
    if len(set(names)) < len(names):
        raise UserError(f"{pattern}: names a language twice")
    before, _, after = _BRACES.split(pattern)
    files = {name: File(before + name + after) for name in names}
    if any(file.suffix in FORMATS for file in files.values()):
        raise UserError(
            f"{pattern}: braces are for plain text, a file for each language; name a table by itself"
        )

    def rows(wanted: Sequence[str]) -> Iterator[Row]:
        return _aligned_rows(pattern, [files[name] for name in wanted])

    return Source(
        pattern, tuple(names), " ".join(file.stamp for file in files.values()), rows, field="language"
    )


def _aligned_rows(pattern: str, files: Sequence[File]) -> Iterator[Row]:
    readers = [file.lines() for file in files]
    for number, row in enumerate(zip_longest(*readers), start=1):
        if None in row:
            counts = [
                number - 1 if cell is None else number + sum(1 for _ in rest)
                for cell, rest in zip(row, readers, strict=True)
            ]
            told = ", ".join(f"{file.name} {count:,}" for file, count in zip(files, counts, strict=True))
            raise UserError(f"{pattern}: the files have unequal numbers of lines: {told}")
        yield number, [line for _, line in row]


def _open_hub(spec: str) -> Source:
    try:
        import datasets
    except ImportError as error:
        raise UserError(f"{spec}: needs the datasets library: pip install datasets") from error
    name, *rest = spec.removeprefix(_HUB).split(":")
    if not name or len(rest) > 2:
        raise UserError(
            f"{spec}: name a data set, as in hub:NAME, hub:NAME:SPLIT or hub:NAME:CONFIG:SPLIT "
            "(hub:wmt14:de-en:train)"
        )
    config, split = ["", "", *rest][-2:]
    try:
        rows = datasets.load_dataset(name, config or None, split=split or "train")
    except Exception as error:  # scripts, network, parsers: the library lets through whatever they raise
        said = " ".join(str(error).split("\n")[:2])  # the second line may tell the known configurations
        raise UserError(f"{spec}: the datasets library cannot load it: {said.strip()}") from error
    table = table_of_records(spec, lambda: enumerate(rows, start=1))
    return Source(spec, table.columns, rows._fingerprint, table.rows, lists=table.lists)


def _split_by_shell(specs: Sequence[str]) -> UserError:
    """Plain text where pairs are needed: most likely an unquoted pattern, which the shell took apart."""
    parts = [re.split(r"([._/-])", spec) for spec in specs]
    same_shape = len({len(each) for each in parts}) == 1
    differing = [at for at, values in enumerate(zip(*parts, strict=False)) if len(set(values)) > 1]
    pattern = "train.{de,en}.gz"
    if same_shape and len(differing) == 1:
        languages = ",".join(each[differing[0]] for each in parts)
        pattern = "".join([*parts[0][: differing[0]], f"{{{languages}}}", *parts[0][differing[0] + 1 :]])
    return UserError(
        f"{specs[0]} holds lines in one unnamed language: name the files of all languages by one pattern, "
        f"and quote the pattern, or the shell takes it apart: '{pattern}'"
    )


def _no_column(name: str, source: Source) -> UserError:
    if name in source.lists:
        return UserError(
            f'{source.name}: the field "{name}" holds lists, where one text is wanted (lists of labels are read with '
            "--kind multiple)"
        )
    there = ", ".join(f'"{column}"' for column in source.columns)
    hint = "; if that is its first example, name its columns with --columns" if source.has_cells else ""
    return UserError(
        f'{source.name}: no {source.field} "{name}"{suggest(name, source.columns)}, it has {there}{hint}'
    )


def _check_languages(fields: Sequence[str], source: Source) -> None:
    """Raise UserError where a column's name is none of a language: a table's first example, most likely."""
    if all(_LANGUAGE.fullmatch(name) for name in fields):
        return
    read = ", ".join(f'"{name[:_SHOWN]}…"' if len(name) > _SHOWN else f'"{name}"' for name in source.columns)
    hint = ": if that is its first example, name its columns with --columns, as in --columns de,en"
    raise UserError(
        f"{source.name}: its columns were read as {read}, and a language's name is a short word of letters, digits, "
        f"- and _{hint if source.has_cells else ''}"
    )


def _one_column(source: Source) -> UserError:
    return UserError(
        f'{source.name}: a column for each language is needed, and there is only "{source.columns[0]}"'
    )
