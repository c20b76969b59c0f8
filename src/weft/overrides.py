"""Settings as a user writes them: a TOML file and `a.b=c` overrides, checked against pydantic models.

Settings are data: nothing in them is imported or executed.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import date, datetime, time
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from weft.errors import UserError, suggest

__all__ = ["Settings", "load_settings", "validate", "validation_message"]

Model = TypeVar("Model", bound=BaseModel)
Overrides = Mapping[str, Any] | Sequence[str]

KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class Settings(dict[str, Any]):
    """Settings as plain data that knows where each came from: a file, an override, or a program."""

    def __init__(self, values: Mapping[str, Any] = MappingProxyType({}), *, path: Path | None = None) -> None:
        super().__init__(values)
        self.path = path
        self.overridden: set[str] = set()
        self.given: set[str] = set()

    def over(self, values: Mapping[str, Any]) -> Self:
        """A copy with values laid over it that come from a program, by keys such as `train.minutes`."""
        copy = deepcopy(self)
        for key, value in values.items():
            _lay(copy, key, value)
            copy.overridden.discard(key)
            copy.given.add(key)
        return copy

    def origin(self, place: Sequence[str]) -> str:
        """How an error about the key at `place` begins: `file:line: `, `--set: `, or nothing."""
        key = ".".join(place)
        if any(_meet(key, laid) for laid in self.overridden):
            return "--set: "
        if any(_meet(key, laid) for laid in self.given):
            return ""
        line = self.path and find_line(self.path.read_text(encoding="utf-8"), place)
        return f"{self.path}:{line}: " if line else ""


def load_settings(path: str | PathLike[str] | None, overrides: Overrides = ()) -> Settings:
    """The tables of a TOML file with overrides laid over them.

    `overrides` are `a.b=c` texts, or one such text, or a mapping from `a.b` to values. In a text, `c` follows TOML,
    and what is no TOML value is a string, so that `model.norm=rms` needs no quotes.
    Raises UserError, with the file and line where there is one, for what is not readable as settings.
    """
    settings = Settings() if path is None else Settings(_read(Path(path)), path=Path(path))
    if isinstance(overrides, str):
        overrides = [overrides]
    pairs = overrides.items() if isinstance(overrides, Mapping) else map(parse_override, overrides)
    for key, value in pairs:
        _lay(settings, key, value)
        settings.overridden.add(key)
    return settings


def parse_override(text: str) -> tuple[str, Any]:
    """Split `a.b=c` into its key and its value.

    >>> parse_override("model.width=384"), parse_override("model.norm=rms")
    (('model.width', 384), ('model.norm', 'rms'))
    """
    key, equals, written = text.partition("=")
    key, written = key.strip(), written.strip()
    if not equals or not written or not KEY.fullmatch(key):
        raise UserError(f'--set {text}: write key=value, as in --set model.width=384 (an empty text is "")')
    return key, _parse_value(written)


def _parse_value(written: str) -> Any:
    if "#" in written and written[0] not in "\"'[{":  # TOML would read a comment
        return written
    try:
        table = tomllib.loads(f"value = {written}")
    except tomllib.TOMLDecodeError:
        return written
    value = table.pop("value")
    if table or isinstance(value, datetime | date | time):  # several lines; no setting is a date
        return written
    return value


def _meet(key: str, other: str) -> bool:
    """Whether one key is the other, or a table around it."""
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        missing = isinstance(error, FileNotFoundError) and path.parent.is_dir()
        near = suggest(path.name, [entry.name for entry in path.parent.iterdir()]) if missing else ""
        raise UserError(f"{path}: {error.strerror or error}{near}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8: save the file as UTF-8") from error
    if path.suffix == ".json":  # as a run writes down its own
        return _read_json(path, text)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r" \(at line (\d+), column (\d+)\)", str(error))
        line = int(where[1]) if where else text.count("\n") + 1
        message = str(error).split(" (at ")[0]
        raise UserError(f"{path}:{line}: not TOML: {message[:1].lower()}{message[1:]}") from error


def _read_json(path: Path, text: str) -> dict[str, Any]:
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise UserError(f"{path}: not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise UserError(f"{path}: holds no table of settings")
    return settings


def _lay(settings: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(value, Mapping):
        for name, inner_value in value.items():
            _lay(settings, f"{key}.{name}", inner_value)
        return
    *tables, name = key.split(".")
    inner = settings
    for depth, table in enumerate(tables, start=1):
        inner = inner.setdefault(table, {})
        if not isinstance(inner, dict):
            raise UserError(f'{key}: "{".".join(tables[:depth])}" is a value, not a table of settings')
    inner[name] = value


def validate(model: type[Model], settings: Mapping[str, Any]) -> Model:
    """The settings as an instance of `model`.

    They are checked as plain data is, so that a list may fill a tuple. Raises UserError.
    """
    try:
        return model.model_validate_json(json.dumps(settings, default=str))
    except ValidationError as error:
        source = settings if isinstance(settings, Settings) else Settings()
        raise UserError(validation_message(error, model=model, source=source)) from error


def validation_message(error: ValidationError, *, model: type[BaseModel], source: Settings) -> str:
    """One line for what is wrong: where it was written, the key, and what to do."""
    wrong = error.errors(include_url=False)
    # Unknown keys first: a misspelt one is why another is missing.
    wrong.sort(key=lambda detail: detail["type"] != "extra_forbidden")
    first, *others = wrong
    place = [str(part) for part in first["loc"]]
    key = ".".join(place)
    if first["type"] == "extra_forbidden":
        message = f'unknown key "{key}"{_nearest_key(model, place)}'
    else:
        reason = first["msg"].removeprefix("Value error, ")
        given = first["input"]
        shown = isinstance(given, bool | int | float | str) and first["type"] != "value_error"
        message = (f"{key}: " if key else "") + f"{reason[:1].lower()}{reason[1:]}"
        message += f", not {json.dumps(given, ensure_ascii=False)}" if shown else ""
    more = f" (and {len(others)} more)" if others else ""
    return f"{source.origin(place)}{message}{more}"


def find_line(text: str, place: Sequence[str]) -> int | None:
    """The line of a TOML text where the statement begins that sets a key, or the innermost table around it.

    >>> find_line("[model]\\nwidth = 256\\nheads = 4\\n", ["model", "heads"])
    3
    """
    lines = text.replace("\r\n", "\n").split("\n")
    found: dict[int, int] = {}  # for each depth of `place`, the first line that sets it
    begin = 1  # of the statement that is being read
    for end in range(1, len(lines) + 1):
        try:
            table: Any = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:
            continue  # inside a value of several lines
        for depth, part in enumerate(place, start=1):
            if not isinstance(table, dict) or part not in table:
                break
            table = table[part]
            found.setdefault(depth, begin)
        begin = end + 1
    return found[max(found)] if found else None


def _nearest_key(model: type[BaseModel], place: Sequence[str]) -> str:
    """A suggestion from the keys of the same table, or else from all the keys, by its whole name."""
    table: type[BaseModel] | None = model
    for part in place[:-1]:
        table = dict(_tables(table)).get(part) if table else None
    *tables, name = place
    near = get_close_matches(name, table.model_fields, n=1) if table else []
    everywhere = list(_keys(model))
    found = (
        [".".join([*tables, *near])] if near else [key for key in everywhere if key.split(".")[-1] == name]
    )
    return f' (did you mean "{found[0]}"?)' if found else suggest(".".join(place), everywhere)


def _tables(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        for hint in (field.annotation, *get_args(field.annotation)):
            if isinstance(hint, type) and issubclass(hint, BaseModel):
                yield name, hint


def _keys(model: type[BaseModel]) -> Iterable[str]:
    yield from model.model_fields
    for name, inner in _tables(model):
        yield from (f"{name}.{key}" for key in _keys(inner))
