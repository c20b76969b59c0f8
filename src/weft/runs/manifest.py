"""The manifest of a folder: what it holds, and the size and checksum of each file."""

import hashlib
import json
from pathlib import Path

from pydantic import Field, ValidationError, field_validator

from weft import __version__
from weft.config import Config
from weft.errors import UserError

__all__ = ["FORMAT", "MANIFEST", "DamagedError", "FileRecord", "Manifest", "parse_manifest", "record_file"]

FORMAT = 1
MANIFEST = "manifest.json"


class DamagedError(UserError):
    """A file is missing, or not as it was written."""


class FileRecord(Config):
    """A file's size in bytes and the SHA-256 of its content, in hexadecimal."""

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Config):
    """What a folder holds: the format's number, the version that wrote it, the kind of content, its files."""

    format: int
    weft: str
    kind: str
    files: dict[str, FileRecord]

    @field_validator("files")
    @classmethod
    def _names_are_plain(cls, files: dict[str, FileRecord]) -> dict[str, FileRecord]:
        # A name that leads out of the folder would let a manifest point at any file of the machine.
        for name in files:
            if name.startswith(".") or name != Path(name).name or "\\" in name or "\0" in name:
                raise ValueError(f"{name!r} is not the plain name of a file")
        return files


def record_file(path: Path) -> FileRecord:
    """The record of a file as it is on disk."""
    with path.open("rb") as file:
        return FileRecord(size=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def parse_manifest(content: bytes, *, path: Path) -> Manifest:
    """Read a manifest's bytes; `path` is the file that an error names."""
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: the file is damaged: it is not JSON ({error})") from error
    if not isinstance(data, dict) or not {"format", "weft", "files"} <= data.keys():
        raise UserError(f"{path}: this manifest was not written by weft: give the folder of a weft model")
    number = data["format"]
    if isinstance(number, int) and number > FORMAT:
        raise UserError(
            f"{path}: written by weft {data['weft']!r} in format {number}, and this weft ({__version__}) "
            f"reads formats up to {FORMAT}: update weft"
        )
    if number != FORMAT:
        raise UserError(f"{path}: format {number!r} is none of weft's (known: {FORMAT})")
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DamagedError(f"{path}: the file is damaged: {field!r}: {first['msg']}") from error
