"""A run belongs to one process at a time."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from weft.errors import UserError
from weft.runs.folder import LOCK, read_manifest, refuse_used

__all__ = ["claim", "give_back"]

_held: set[int] = set()


def _let_go_in_child() -> None:
    # A forked worker shares the lock and would hold it after its parent was killed. Closing does not unlock.
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


os.register_at_fork(after_in_child=_let_go_in_child)


@contextmanager
def claim(run: Path, *, resume: bool = False) -> Iterator[bool]:
    """Hold a run's folder for this process: a new one is made and must be empty, one to resume must be a run.

    Gives whether the folder had to be made. The lock is the system's, on an open file, and falls with the process: that
    of a killed one blocks nobody.
    """
    made = False
    if resume:
        read_manifest(run)
    else:
        try:
            refuse_used(run)
            made = not run.exists()
            run.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{run}: cannot be made ({error}): give another --out") from error
    descriptor = _lock(run)
    _held.add(descriptor)
    try:
        if not resume:
            refuse_used(run)  # another process may have been here between the first look and the lock
        yield made
    finally:
        if descriptor in _held:  # not in a forked child, which has closed its own already
            _held.remove(descriptor)
            os.close(descriptor)


def give_back(run: Path, *, made: bool) -> None:
    """Leave a new run's folder as it was found when this process claimed it: empty, or not there if it had to be `made`."""
    for entry in run.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if made:
        run.rmdir()


def _lock(run: Path) -> int:
    try:
        descriptor = os.open(run / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise UserError(f"{run}: cannot be written ({error})") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise UserError(
            f"{run}: process {holder or 'unknown'} is training into it: wait, or stop that one"
        ) from error
    except OSError as error:
        os.close(descriptor)
        raise UserError(
            f"{run}: cannot be locked ({error}): give a folder on a file system with locks"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
