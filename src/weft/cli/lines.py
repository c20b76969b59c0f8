"""Lines in, lines out: read as they arrive, written whole or not at all."""

import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from cyclopts import Parameter

from weft.cli.problems import warn
from weft.data.files import arriving
from weft.errors import UserError

__all__ = ["Lines", "line_blocks", "open_input", "open_output", "open_whole", "refuse_existing"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Lines:
    """Where texts come from, and where what is said of them goes.

    Parameters
    ----------
    input
        A file of lines, UTF-8, gzip or not.
    output
        Write here instead of to standard output; the file appears when all is done.
    overwrite
        Replace --output if it exists.
    """

    input: Path | None = None
    output: Path | None = None
    overwrite: bool = False

    def check(self, text: str | None) -> None:
        """Refuse what cannot work, before a model is loaded."""
        if text is not None and self.input is not None:
            raise UserError("a text and --input: give one of them")
        if self.output is not None:
            refuse_existing(self.output, overwrite=self.overwrite)
        if self.input is not None and not self.input.exists():
            raise UserError(f"{self.input}: no such file")

    @contextmanager
    def open(self, text: str | None, *, lines: int) -> Iterator[tuple[Iterable[list[str]], TextIO]]:
        """The one text, or blocks of up to so many lines of the input; and where to write."""
        with ExitStack() as stack:
            out = stack.enter_context(open_output(self.output))
            if text is not None:
                yield [[text]], out
                return
            stream = stack.enter_context(open_input(self.input))
            yield line_blocks(stream, name=str(self.input or "standard input"), lines=lines), out


@contextmanager
def open_input(path: Path | None) -> Iterator[BinaryIO]:
    """A file, or standard input."""
    if path is None:
        if sys.stdin.isatty():
            warn("weft: type lines, and Ctrl-D to end")
        yield sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield file


def line_blocks(stream: BinaryIO, *, name: str, lines: int) -> Iterator[list[str]]:
    """The lines of a stream, without their ends, in blocks of up to `lines`.

    What comes through a pipe or from a terminal is passed on as it arrives; a file is read in whole blocks.
    """
    wait = _is_file(stream)
    block: list[str] = []
    for arrived in arriving(stream, name=name):
        block += arrived
        while len(block) >= lines:
            yield block[:lines]
            del block[:lines]
        if block and not wait:
            yield block
            block = []
    if block:
        yield block


def _is_file(stream: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except OSError:
        return True  # held in memory


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise a UserError where writing `path` would lose something, or cannot work."""
    if path.is_dir():
        raise UserError(f"{path}: a folder, where a file is to be written")
    if not path.parent.is_dir():
        raise UserError(f"{path}: no folder {path.parent}: make it first")
    if path.is_file() and not overwrite:
        raise UserError(f"{path}: exists: name another file, or give --overwrite")


@contextmanager
def open_output(path: Path | None) -> Iterator[TextIO]:
    """Standard output, or a file of text as `open_whole` writes it."""
    if path is None:
        yield sys.stdout
        return
    with open_whole(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
        yield text
        text.detach()  # flushed, and left open


@contextmanager
def open_whole(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when all of it is written; a pipe or a device is written to as it is."""
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()  # a link stays a link
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's files are private
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise
