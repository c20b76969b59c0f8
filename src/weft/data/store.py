"""The token store: text tokenized once, kept in flat files, and read from there without loading them."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.data.sources import Dropped, Example, Report
from weft.errors import UserError

__all__ = ["TokenStore", "Tokens", "build_store", "fingerprint", "open_store"]

Ids = NDArray[np.uint16] | NDArray[np.uint32]

_HEADER = "store.json"
_FORMAT = 1
_CHUNK = 16_384  # examples tokenized at a time: enough to keep every core busy, little enough to hold


class Tokens:
    """The ids of one field: a sequence of arrays, each a view of the file. `ends` says where in `ids` each row ends."""

    def __init__(self, ids: Ids, ends: NDArray[np.int64]) -> None:
        self.ids = ids
        self.ends = ends

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> Ids:
        row = range(len(self))[row]
        return self.ids[self.ends[row - 1] if row else 0 : self.ends[row]]


class TokenStore:
    """Rows of ids in several fields: `store["de"][3]` is an array, `store.lengths["de"]` holds all lengths.

    What is held in memory does not grow with the text, but for the lengths, once they are asked for. `report` tells what
    was kept and what was left out when it was made.
    """

    def __init__(self, folder: Path, header: dict[str, Any]) -> None:
        self.folder = folder
        self.fields = tuple(header["fields"])
        self.report = Report(header["kept"], {why: Dropped(n, tuple(at)) for why, n, at in header["dropped"]})
        self._paths = list(header["paths"])
        self._lines = _mapped(folder / "lines", np.dtype(np.int64))
        self._path_of_row = _mapped(folder / "paths", np.dtype(np.int32))
        self._tokens: dict[str, Tokens] = {}
        for number, field in enumerate(self.fields):
            ids = _mapped(folder / f"{number}.ids", np.dtype(header["dtype"]))
            self._tokens[field] = Tokens(ids, _mapped(folder / f"{number}.ends", np.dtype(np.int64)))

    def __len__(self) -> int:
        return len(self._lines)

    def __getitem__(self, field: str) -> Tokens:
        return self._tokens[field]

    @cached_property
    def lengths(self) -> dict[str, NDArray[np.int64]]:
        """How many tokens each row has, field by field."""
        return {field: np.diff(tokens.ends, prepend=0) for field, tokens in self._tokens.items()}

    def equals(self, other: "TokenStore") -> bool:
        """Whether both hold the same tokens, row by row."""
        return set(self.fields) == set(other.fields) and all(
            np.array_equal(self[field].ends, other[field].ends)
            and np.array_equal(self[field].ids, other[field].ids)
            for field in self.fields
        )

    def place(self, row: int) -> str:
        """Where a row was read: its file and line."""
        return f"{self._paths[self._path_of_row[row]]}:{self._lines[row]}"


def fingerprint(*parts: str) -> str:
    """One hash of all that decides what is in a store: sources' stamp, tokenizer's fingerprint, options.

    >>> fingerprint("a", "b") == fingerprint("ab")
    False
    """
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def open_store(folder: Path, fingerprint: str | None = None) -> TokenStore | None:
    """The store in `folder`, or None where there is none, or one that is not whole, or another than `fingerprint` says."""
    try:
        header = json.loads((folder / _HEADER).read_bytes())
        if header["format"] != _FORMAT or fingerprint not in (None, header["fingerprint"]):
            return None
        if any((folder / name).stat().st_size != size for name, size in header["sizes"].items()):
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return TokenStore(folder, header)


def build_store(
    folder: Path,
    examples: Iterable[Example],
    *,
    fields: Sequence[str],
    encode: Callable[[Sequence[str]], list[list[int]]],
    vocab_size: int,
    fingerprint: str,
    report: Report,
) -> TokenStore:
    """Tokenize `examples` a chunk at a time into a store at `folder`, which replaces one that is there.

    It is written aside and then renamed: an interruption leaves the old store, or none. `report`, complete
    once the examples have been read, is kept with it. Raises UserError where no example is left, where the
    folder holds something else, and where the disk is full.
    """
    if folder.exists() and not (folder / _HEADER).is_file() and any(folder.iterdir()):
        raise UserError(f"{folder} is in use: it holds files that are no token store")
    folder.parent.mkdir(parents=True, exist_ok=True)
    dtype = np.dtype(np.uint16 if vocab_size <= 2**16 else np.uint32)
    with _aside(folder) as unfinished:
        header = _write(unfinished, examples, fields=fields, encode=encode, dtype=dtype)
        dropped = [[why, number, list(places)] for why, (number, places) in report.dropped.items()]
        header |= {"format": _FORMAT, "fingerprint": fingerprint, "kept": report.kept, "dropped": dropped}
        header["sizes"] = {file.name: file.stat().st_size for file in sorted(unfinished.iterdir())}
        (unfinished / _HEADER).write_text(json.dumps(header, indent=1) + "\n", encoding="utf-8")
    return TokenStore(folder, header)


def _write(
    folder: Path,
    examples: Iterable[Example],
    *,
    fields: Sequence[str],
    encode: Callable[[Sequence[str]], list[list[int]]],
    dtype: np.dtype[Any],
) -> dict[str, Any]:
    paths: dict[str, int] = {}
    ends = [0] * len(fields)
    iterator = iter(examples)
    with ExitStack() as stack:
        files = {
            name: stack.enter_context((folder / name).open("wb"))
            for name in [
                "lines",
                "paths",
                *(f"{i}.{kind}" for i in range(len(fields)) for kind in ("ids", "ends")),
            ]
        }
        while chunk := list(islice(iterator, _CHUNK)):
            np.array([example.line for example in chunk], dtype=np.int64).tofile(files["lines"])
            numbers = [paths.setdefault(example.path, len(paths)) for example in chunk]
            np.array(numbers, dtype=np.int32).tofile(files["paths"])
            for i, field in enumerate(fields):
                rows = encode([example.fields[field] for example in chunk])
                lengths = np.array([len(row) for row in rows], dtype=np.int64)
                ids = np.fromiter(chain.from_iterable(rows), dtype=dtype, count=int(lengths.sum()))
                ids.tofile(files[f"{i}.ids"])
                np.add(lengths.cumsum(), ends[i]).tofile(files[f"{i}.ends"])
                ends[i] += int(lengths.sum())
    if not paths:
        raise UserError("there is not a single complete example in the data")
    return {"fields": list(fields), "dtype": dtype.name, "paths": list(paths)}


@contextmanager
def _aside(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` if all goes well, and is gone otherwise."""
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield unfinished
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    # An empty file cannot be mapped.
    if not path.stat().st_size:
        return np.empty(0, dtype=dtype)
    return np.memmap(path, dtype=dtype, mode="r").view(np.ndarray)  # whose slices are made faster
