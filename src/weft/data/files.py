"""Files as lines of text: packed or not, UTF-8 or an error that says where."""

import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from weft.errors import UserError, suggest

__all__ = ["File", "StandardInput", "arriving", "at_home"]

_GZIP = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_CHUNK = 1 << 16


class File:
    """A file of text, which can be read any number of times.

    Raises UserError where it is missing, empty, a folder or a pipe.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = at_home(name)
        try:
            status = self.path.stat()
        except (OSError, ValueError) as error:
            raise UserError(f"{name}: {_reason(error)}{self._neighbour()}") from error
        if self.path.is_dir():
            raise UserError(f"{name} is a folder: name its files, '{name.rstrip('/')}/*.txt' for instance")
        if not self.path.is_file():
            raise UserError(f"{name} can only be read once: pipe it in, and name it - instead")
        if status.st_size == 0:
            raise UserError(f"{name} is empty")
        self.stamp = f"{self.path.resolve()} {status.st_size} {status.st_mtime_ns}"

    @property
    def suffix(self) -> str:
        """What the name ends in, without the mark of a packed file: `.tsv` for `pairs.tsv.gz`."""
        return Path(self.path.name.lower().removesuffix(".gz")).suffix

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines with their numbers from 1. They end at a line feed alone, and come without it.

        Raises UserError for a line that is not UTF-8 and for a damaged gzip file.
        """
        with self._open() as file:
            yield from enumerate(chain.from_iterable(arriving(file, name=self.name)), start=1)

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            file = self.path.open("rb")
        except OSError as error:
            raise UserError(f"{self.name}: {_reason(error)}") from error
        with file:
            yield file

    def _neighbour(self) -> str:
        folder = self.path.parent
        try:
            return suggest(self.path.name, [entry.name for entry in folder.iterdir()])
        except (OSError, ValueError):
            return ""  # there is no such folder either


class StandardInput(File):
    """What is piped in: read once, kept in memory."""

    def __init__(self) -> None:
        self.name = "standard input"
        self.path = Path("-")

    @cached_property
    def stamp(self) -> str:  # type: ignore[override]
        """What tells this input from another: a hash of all of it."""
        return sha256(self._contents).hexdigest()

    @cached_property
    def _contents(self) -> bytes:
        contents = sys.stdin.buffer.read()
        if not contents:
            raise UserError("standard input is empty")
        return contents

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        yield io.BufferedReader(io.BytesIO(self._contents))


def at_home(name: str) -> Path:
    """The path with the home folder for a leading `~`, which the shell leaves alone in a quoted pattern."""
    if "\0" in name:
        raise UserError(f"{name!r} is no name of a file")
    return Path(os.path.expanduser(name))  # noqa: PTH111 - unlike Path's, it bears a user that is not there


def arriving(stream: BinaryIO, *, name: str) -> Iterator[list[str]]:
    """The lines of a stream, gzip or not, those together that arrive together.

    They end at a line feed alone, and come without it. Raises UserError for a line that is not UTF-8 and for a damaged
    gzip file.
    """
    number, rest = 0, b""
    try:
        file = _unpacked(stream)
        while chunk := file.read1(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            yield [_decode(line, name=name, number=at) for at, line in enumerate(whole, start=number + 1)]
            number += len(whole)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name}: unreadable after line {number}: {_reason(error)}") from error
    if rest:
        yield [_decode(rest, name=name, number=number + 1)]


def _unpacked(stream: BinaryIO) -> gzip.GzipFile | io.BufferedReader | io.BufferedRandom:
    assert isinstance(stream, io.BufferedReader | io.BufferedRandom)
    packed = stream.peek(len(_GZIP))[: len(_GZIP)] == _GZIP  # by what is in it: names are not always right
    return gzip.GzipFile(fileobj=stream) if packed else stream


def _decode(line: bytes, *, name: str, number: int) -> str:
    text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
    try:
        return text.decode().removesuffix("\r")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}:{number}: byte 0x{text[error.start]:02x} at position {error.start + 1} of the line is not UTF-8: "
            "convert the file, for instance with iconv -f latin1 -t utf-8"
        ) from error


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
