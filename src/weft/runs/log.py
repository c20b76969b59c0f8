"""A log of JSON lines that only grows, and survives a process that dies in the middle of one."""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from weft.errors import UserError

__all__ = ["Log", "read_log"]


class Log:
    """Appends records to a file, one JSON object on each line.

    On opening, a torn last line and all records after `step` are cut off: what follows them is trained again.
    A number that is not finite, which JSON cannot say, is written as null.
    """

    def __init__(self, path: Path, *, step: int) -> None:
        self.path = path
        keep = 0
        if path.exists():
            for record, end in _records(path):
                if record.get("step", 0) > step:
                    break
                keep = end
        try:
            self._file = path.open("ab", buffering=0)
            self._file.truncate(keep)
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error})") from error

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; those that belong to a step of the training have it under "step"."""
        line = json.dumps({name: _sayable(value) for name, value in record.items()}, ensure_ascii=False)
        start = self._file.seek(0, os.SEEK_END)
        rest = memoryview(line.encode() + b"\n")
        try:
            while rest:  # a disk that fills up takes a part
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._file.truncate(start)
            raise UserError(f"{self.path}: cannot be written ({error})") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """All records of a log; a torn last line is left out."""
    return [record for record, _ in _records(path)]


def _records(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Each record with the offset, in bytes, at which it ends."""
    lines = path.read_bytes().split(b"\n")
    end = 0
    for number, line in enumerate(lines[:-1], start=1):  # what follows the last line's end is torn
        end += len(line) + 1
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}:{number}: not a line of JSON: delete the line, or the file") from error
        if not isinstance(record, dict):
            raise UserError(f"{path}:{number}: not a JSON object: delete the line, or the file")
        yield record, end


def _sayable(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
