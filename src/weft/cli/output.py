"""What a command reports: JSON for programs, tables for a terminal, plain lines for everything else."""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from os import PathLike
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = [
    "duration",
    "label",
    "print_facts",
    "print_json",
    "print_table",
    "say",
    "screen",
    "shown",
    "to_json",
]

METRICS = {"bleu": "BLEU", "chrf": "chrF2"}


def screen() -> Console | None:
    """The terminal on standard output; None where output goes to a file or a pipe."""
    return Console(markup=False, highlight=False) if sys.stdout.isatty() else None


def say(*lines: str) -> None:
    """Lines on standard output, sent off at once, so that a program can follow."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def print_json(value: object) -> None:
    """One JSON value on one line."""
    say(to_json(value))


def to_json(value: object) -> str:
    """A result as JSON on one line."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """Results as JSON can say them: named tuples, data classes and models as objects, only finite numbers.

    >>> plain({"loss": float("nan"), "ids": (1, 2)})
    {'loss': None, 'ids': [1, 2]}
    """
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(value, "model_dump"):
        value = value.model_dump(mode="json")
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, PathLike) else value


def print_facts(facts: Mapping[str, object], *, title: str = "") -> None:
    """Named values, one on a line; what is None is left out."""
    rows = [(label(name), shown(value)) for name, value in facts.items() if value is not None]
    if (console := screen()) is None:
        lines = [f"{name}: {value}" for name, value in rows]
        say(*([title] if title else []), *lines)
        return
    table = Table(title=title or None, show_header=False, title_justify="left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_table(rows: Sequence[Mapping[str, object]], *, title: str = "") -> None:
    """Rows with the same keys under their headings; plain output has tabs between the columns."""
    headings = [label(name) for name in rows[0]]
    cells = [[shown(value) for value in row.values()] for row in rows]
    if (console := screen()) is None:
        lines = ["\t".join(row) for row in [headings, *cells]]
        say(*([title] if title else []), *lines)
        return
    table = Table(*headings, title=title or None, title_justify="left")
    for row in cells:
        table.add_row(*row)
    console.print(table)


def label(name: str) -> str:
    """A name as people read it; the name of a setting stays as it is written.

    >>> label("sentences_per_second"), label("bleu_signature"), label("model.max_length")
    ('sentences per second', 'BLEU signature', 'model.max_length')
    """
    words = name.split("_")
    return name if "." in name else " ".join(METRICS.get(word, word) for word in words)


def shown(value: object) -> str:
    """A value as people read it.

    >>> shown(29000), shown(38.512), shown(0.00081), shown(["de", "en"]), shown(True)
    ('29,000', '38.51', '0.00081', 'de, en', 'yes')
    """
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            if abs(value) >= 1 or value == 0:
                return f"{value:.2f}"
            return f"{value:.4f}" if abs(value) >= 0.1 else f"{value:.2g}"
        case list() | tuple():
            return ", ".join(map(shown, value))
    return str(value)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds.

    >>> duration(192), duration(3725)
    ('3:12', '1:02:05')
    """
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
