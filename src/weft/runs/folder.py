"""A folder and its manifest, written whole or not at all, and read with every file accounted for."""

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

from weft import __version__
from weft.errors import UserError
from weft.runs.foreign import explain
from weft.runs.manifest import (
    FORMAT,
    MANIFEST,
    DamagedError,
    FileRecord,
    Manifest,
    parse_manifest,
    record_file,
)

__all__ = [
    "PAGE",
    "REQUEST",
    "TEMPORARY",
    "Content",
    "clean",
    "file_of",
    "finish_update",
    "place_folder",
    "read_folder",
    "read_manifest",
    "refuse_used",
    "sync",
    "update_folder",
    "verify",
    "verify_folder",
    "write_folder",
]

Content: TypeAlias = bytes | Callable[[Path], None]  # a file's bytes, or what writes it to a path

TEMPORARY = ".tmp-"
NEXT = ".next"  # an update of a folder that is down and not yet moved to its place
LOCK = ".lock"
PAGE = "README.md"  # for people, who may change it: no manifest has it
REQUEST = "request.json"  # what a run was asked for: the first of its files, by which it is known as one


def write_folder(path: Path, *, kind: str, files: Mapping[str, Content]) -> Manifest:
    """Write a new folder of `files` under their names, with a manifest, in one step: all of it or nothing.

    `path` may be an empty folder, or not exist; one with something in it is refused.
    """
    try:
        refuse_used(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        clean(path.parent, path.name)
        return place_folder(path, kind=kind, files=files, kept={})
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error}); nothing was changed") from error


def update_folder(path: Path, *, kind: str, files: Mapping[str, Content]) -> Manifest:
    """Replace or add `files` in a folder that this process has claimed; its other files stay.

    A reader sees all of the old files or all of the new ones, wherever the process is killed.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        clean(path, NEXT)
        finish_update(path)
        kept = read_folder(path).files if (path / MANIFEST).is_file() else {}
        manifest = place_folder(path / NEXT, kind=kind, files=files, kept=kept)
        finish_update(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error}); it is as it was before") from error
    return manifest


def place_folder(
    path: Path, *, kind: str, files: Mapping[str, Content], kept: Mapping[str, FileRecord]
) -> Manifest:
    """Write beside `path`, sync, and rename to it; the manifest also names the files already `kept` there."""
    temporary = path.parent / f"{TEMPORARY}{path.name}-{secrets.token_hex(4)}"
    temporary.mkdir()
    try:
        mode = temporary.stat().st_mode & 0o666  # safetensors makes its files private, whatever the umask
        records = dict(kept)
        for name, content in files.items():
            file = temporary / name
            if isinstance(content, bytes):
                file.write_bytes(content)
            else:
                content(file)
            file.chmod(mode)
            sync(file)
            if name != PAGE:
                records[name] = record_file(file)
        manifest = Manifest(format=FORMAT, weft=__version__, kind=kind, files=dict(sorted(records.items())))
        (temporary / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
        sync(temporary / MANIFEST)
        sync(temporary)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary)
        raise
    sync(path.parent)
    return manifest


def clean(folder: Path, name: str = "") -> None:
    """Remove what a killed process left half written or half removed on its way to `name`, or to any name."""
    for left in folder.iterdir():
        if left.name.startswith(f"{TEMPORARY}{name}"):
            shutil.rmtree(left)


def finish_update(path: Path) -> None:
    """Move the files of an update that is down to their place, the manifest last; nothing without one."""
    staged = path / NEXT
    if not staged.is_dir():
        return
    if (staged / MANIFEST).is_file():
        for file in sorted(staged.iterdir(), key=lambda file: file.name == MANIFEST):
            if file.name == MANIFEST:
                sync(path)  # before the manifest, the files it speaks of
            file.replace(path / file.name)
    shutil.rmtree(staged)
    sync(path)


def file_of(path: Path, name: str) -> Path:
    """Where a folder's file is: in an update that is down but not yet moved, or in its place."""
    staged = path / NEXT / name
    return staged if (path / NEXT / MANIFEST).is_file() and staged.is_file() else path / name


def read_manifest(path: Path) -> Manifest:
    """The manifest of a model's folder, every file of which is there and has its size.

    Whatever else `path` may be raises a UserError that says what it looks like.
    """
    manifest = read_folder(path)
    if manifest.kind == "checkpoint":
        raise UserError(f"{path}: a checkpoint of a run: give the run itself: {path.parent.parent}")
    return manifest


def verify(path: Path) -> Manifest:
    """The manifest of a model's folder, every file of which has its checksum."""
    read_manifest(path)
    return verify_folder(path)


def verify_folder(path: Path) -> Manifest:
    """The manifest of any folder of weft's, checkpoints included, every file of which has its checksum."""
    manifest = read_folder(path)
    for name, record in manifest.files.items():
        file = file_of(path, name)
        if record_file(file) != record:
            raise DamagedError(
                f"{file}: checksum differs from the one in {MANIFEST}: the file is damaged or edited"
            )
    return manifest


def read_folder(path: Path) -> Manifest:
    """The manifest of any folder of weft's, checkpoints included; its files' names and sizes are checked."""
    try:
        file = file_of(path, MANIFEST)
        if not file.is_file():
            raise UserError(explain(path))
    except OSError as error:  # a name too long to be one, a folder that may not be entered
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    manifest = parse_manifest(file.read_bytes(), path=file)
    for name, record in manifest.files.items():
        file = file_of(path, name)
        if not file.is_file():
            raise DamagedError(f"{file}: missing, though {MANIFEST} names it: the folder is damaged")
        if (size := file.stat().st_size) != record.size:
            raise DamagedError(f"{file}: {size} bytes where {record.size} were written: the file is damaged")
    return manifest


def refuse_used(path: Path) -> None:
    """Raise a UserError with the way out where an output folder is a file or has something in it."""
    if not path.exists():
        return
    if not path.is_dir():
        raise UserError(f"{path}: a file, where a folder is to be written: give another --out")
    entries = [entry for entry in path.iterdir() if entry.name != LOCK]
    if (path / "checkpoints").is_dir() or file_of(path, REQUEST).is_file():
        raise UserError(
            f"{path}: holds a run: go on with it (weft train --resume {path}) or give another --out"
        )
    if entries:
        raise UserError(f"{path}: there already, and not empty: give another --out")


def sync(path: Path) -> None:
    """Wait until a file or a folder's list of names is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
