"""Labelled texts: read from tables, from lines that begin with their label, or from a file for each label."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from weft.config import ClassifyConfig
from weft.data.files import File, at_home
from weft.data.formats import Several
from weft.data.sources import Example, Report, open_sources
from weft.errors import UserError, suggest

__all__ = ["Labelled", "names_of", "read_labelled"]


class Labelled(NamedTuple):
    """A text, or a pair of texts, with its labels: one, several, or one that is a number; and where it stands."""

    text: str
    pair: str | None
    labels: tuple[str, ...]
    place: str


def read_labelled(
    specs: Sequence[str], config: ClassifyConfig, *, columns: Sequence[str] | None, report: Report
) -> list[Labelled]:
    """All examples of some sources; those without a text or a label are left out, and counted in `report`.

    A spec is as in `open_sources`: a table with columns for text and label; with `label_until` plain lines, whose first
    word, up to that, is the label; or LABEL=SPEC, lines of plain text that all have this label. Raises UserError with
    the file and line of what is malformed.
    """
    names = names_of(config)
    read = _number if config.kind == "number" else (lambda label, place: _named(label, names, place))
    examples = []
    for spec in specs:
        for text, pair, label, example in _cells(spec, config, columns):
            place = f"{example.path}:{example.line}"
            if not text.strip() or (pair is not None and not pair.strip()):
                report.drop("without a text", path=example.path, line=example.line)
                continue
            several = config.kind == "multiple"
            written = _several(label, config.separator) if several else [label]
            given = [each.strip() for each in written if each.strip()]
            if not given and not several:
                report.drop("without a label", path=example.path, line=example.line)
                continue
            report.kept += 1
            examples.append(Labelled(text, pair, tuple(read(each, place) for each in given), place))
    if not examples:
        raise UserError(f"{', '.join(specs)}: not a single text with a label")
    return examples


def _cells(
    spec: str, config: ClassifyConfig, columns: Sequence[str] | None
) -> Iterator[tuple[str, str | None, str, Example]]:
    """Text, second text, label and place of each example."""
    label, equals, path = spec.partition("=")
    if equals and "/" not in label and not at_home(spec).exists():
        if config.pair_column is not None:
            raise UserError(f"{spec}: lines of one label hold one text each: leave out --pair-column")
        for example in open_sources([path], fields=["text"]):
            yield example.fields["text"], None, label, example
        return
    if config.label_until is not None:
        for example in open_sources([spec], fields=["text"]):
            head, space, text = example.fields["text"].partition(" ")
            named, until, _ = (head + space).partition(config.label_until)
            if head and not until:
                raise UserError(
                    f'{example.path}:{example.line}: "{head}" has no "{config.label_until}" that a label would end at'
                )
            yield text, None, named, example
        return
    pair = [config.pair_column] if config.pair_column is not None else []
    label_column = Several(config.label_column) if config.kind == "multiple" else config.label_column
    wanted = [config.text_column, label_column, *pair]
    for example in open_sources([spec], columns=columns, fields=wanted):
        values = example.fields
        second = values[config.pair_column] if config.pair_column is not None else None
        yield values[config.text_column], second, values[config.label_column], example


def _several(label: str, separator: str) -> list[str]:
    """The labels in a cell: in a list, as JSON writes it, or with a separator between them.

    >>> _several("crime, comedy", ","), _several('["New York, NY", "crime"]', ","), _several("[sic], x", ",")
    (['crime', ' comedy'], ['New York, NY', 'crime'], ['[sic]', ' x'])
    """
    if label.startswith("["):
        try:
            found = json.loads(label)
        except ValueError:
            return label.split(separator)
        if isinstance(found, list):
            return [str(each) for each in found]
    return label.split(separator)


def names_of(config: ClassifyConfig) -> tuple[str, ...]:
    """The names of labels that data gives as numbers from 1; none where it gives them by name."""
    if not isinstance(config.label_names, str):
        return config.label_names or ()
    names = tuple(line.strip() for _, line in File(config.label_names).lines() if line.strip())
    if not names:
        raise UserError(f"{config.label_names}: not a single name of a label")
    return names


def _named(label: str, names: Sequence[str], place: str) -> str:
    if not names or label in names:
        return label
    number = int(label) if label.isdecimal() else 0
    if not 0 < number <= len(names):
        raise UserError(
            f'{place}: label "{label}" is none of the numbers 1 to {len(names)} that --label-names has names for'
        )
    return names[number - 1]


def _number(label: str, place: str) -> str:
    try:
        finite = math.isfinite(float(label))
    except ValueError:
        finite = False
    if not finite:
        raise UserError(f'{place}: "{label}" is no number, which classify.kind = "number" needs')
    return label


def label_of(labels: Sequence[str]) -> Callable[[str, str], int]:
    """From a label and its place to its number; a UserError for one that is not among `labels`."""
    numbers = {label: number for number, label in enumerate(labels)}

    def look_up(label: str, place: str) -> int:
        if label not in numbers:
            raise UserError(
                f'{place}: label "{label}" was not seen in training{suggest(label, labels)} (known: {", ".join(labels)})'
            )
        return numbers[label]

    return look_up
