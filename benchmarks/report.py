"""What a benchmark gives back, and how it is printed and kept."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine, versions

__all__ = ["Options", "Row", "print_rows", "write_json"]


@dataclass(frozen=True)
class Options:
    """What the benchmarks are told on the command line."""

    data: Path | None
    """The folder of the public data sets, if there is one."""
    work: Path
    """Where peers' finished runs are kept."""
    run: Path | None = None
    """A trained weft model, for those that need one."""
    minutes: float | None = None
    """What `weft train` is given, in those that train; each has a default of its own."""


@dataclass(frozen=True)
class Row:
    """One comparison: weft and a peer doing the same work."""

    benchmark: str
    what: str
    work: str
    unit: str
    weft: float
    weft_settings: str
    peer: str
    peer_value: float
    peer_settings: str
    lower_is_better: bool = False

    @property
    def ratio(self) -> float:
        """How many times better weft is than the peer."""
        better, worse = (self.peer_value, self.weft) if self.lower_is_better else (self.weft, self.peer_value)
        return better / worse


def print_rows(rows: Sequence[Row], *, console: Console) -> None:
    """The table, and under it the settings of both sides."""
    table = Table(title=describe_machine(), title_justify="left")
    for heading in ("", "benchmark", "weft", "peer", "", "unit", "ratio"):
        table.add_column(heading, justify="right" if heading in ("", "weft", "ratio") else "left")
    for number, row in enumerate(rows, start=1):
        table.add_row(
            str(number),
            f"{row.benchmark}: {row.what}",
            _shown(row.weft),
            row.peer,
            _shown(row.peer_value),
            row.unit,
            f"{row.ratio:.2f} ×",
        )
    console.print(table)
    for number, row in enumerate(rows, start=1):
        sides = f"weft: {row.weft_settings}; {row.peer}: {row.peer_settings}"
        console.print(f"{number}. {row.work}. {sides}", highlight=False, markup=False)
    console.print(", ".join(f"{name} {version}" for name, version in versions().items()), highlight=False)


def _shown(value: float) -> str:
    """A figure with one decimal, or as many as tell small ones apart.

    >>> _shown(1234.56), _shown(1.2345)
    ('1,234.6', '1.234')
    """
    return f"{value:,.1f}" if value >= 10 else f"{value:.3f}"


def write_json(rows: Sequence[Row], file: Path) -> None:
    """Keep the rows with all that is needed to read them later."""
    record = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": versions(),
        "rows": [asdict(row) | {"ratio": row.ratio} for row in rows],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
