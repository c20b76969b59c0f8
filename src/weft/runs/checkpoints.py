"""Checkpoints of a run: each a folder of its own, whole or not there; the newest whole one is the last."""

import json
import re
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from torch import Tensor

from weft.errors import UserError
from weft.runs.folder import TEMPORARY, Content, clean, place_folder, sync, verify_folder
from weft.runs.manifest import MANIFEST, DamagedError
from weft.runs.tensors import read_tensors, save_tensors

__all__ = [
    "DamagedCheckpointError",
    "checkpoint_step",
    "checkpoints",
    "latest_checkpoint",
    "load_checkpoint",
    "save_checkpoint",
]

KIND = "checkpoint"
STATE = "state.json"
SUFFIX = ".safetensors"
# A checkpoint steps aside as ".old" while another of the same step takes its place, and still counts.
NAME = re.compile(r"step-(\d{8,})(\.old)?")


class DamagedCheckpointError(DamagedError):
    """A checkpoint is not as it was written; `older` is the newest whole one before it."""

    def __init__(self, message: str, *, older: Path | None) -> None:
        super().__init__(message)
        self.older = older


def save_checkpoint(
    run: Path,
    step: int,
    *,
    tensors: Mapping[str, Mapping[str, Tensor]],
    state: Mapping[str, JsonValue],
    keep: int,
) -> Path:
    """Write the checkpoint of a step, a file for each group of tensors, and keep the newest `keep` alone.

    Killed at any moment, it leaves the checkpoints before it whole, or itself. Those of later steps belong to
    a course of the training that was given up, and go too.
    """
    if step < 0 or keep < 1:
        raise ValueError(f"step {step} must not be negative, keep {keep} must be at least 1")
    files: dict[str, Content] = {STATE: _encode(state)}
    files |= {group + SUFFIX: partial(save_tensors, tensors=named) for group, named in tensors.items()}
    path = run / "checkpoints" / f"step-{step:08d}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        clean(path.parent)
        if path.exists():
            _discard(aside := path.with_name(path.name + ".old"))
            path.rename(aside)
        place_folder(path, kind=KIND, files=files, kept={})
    except OSError as error:
        raise _not_written(run, step, error) from error
    _prune(run, step=step, keep=keep)
    return path


def checkpoints(run: Path) -> list[Path]:
    """A run's checkpoints, the oldest first."""
    folder = run / "checkpoints"
    entries = folder.iterdir() if folder.is_dir() else ()
    return sorted((entry for entry in entries if NAME.fullmatch(entry.name)), key=_order)


def latest_checkpoint(run: Path) -> Path | None:
    """A run's newest checkpoint; none before the first is saved."""
    return next(reversed(checkpoints(run)), None)


def checkpoint_step(path: Path) -> int:
    """The number of steps that a checkpoint had done."""
    return _order(path)[0]


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The groups of tensors and the state of a checkpoint, every file of which has its checksum.

    A damaged one raises a DamagedCheckpointError that names the newest whole one before it.
    """
    try:
        if path.is_dir() and not (path / MANIFEST).is_file():
            raise DamagedError(f"{path / MANIFEST}: missing: the folder is damaged")
        manifest = verify_folder(path)
    except DamagedError as error:
        raise _damaged(path, error) from error
    if manifest.kind != KIND:
        raise UserError(
            f"{path}: the folder of a model ({manifest.kind}), where a checkpoint of a run is needed"
        )
    groups = [name for name in manifest.files if name.endswith(SUFFIX)]
    tensors = {name.removesuffix(SUFFIX): read_tensors(path / name) for name in groups}
    return tensors, json.loads((path / STATE).read_bytes())


def _encode(state: Mapping[str, JsonValue]) -> bytes:
    text = json.dumps(state, allow_nan=False)
    if json.loads(text) != state:  # tuples and numbers as keys would come back as something else
        raise TypeError("the state of a checkpoint must be plain JSON: see flatten_state")
    return text.encode()


def _order(path: Path) -> tuple[int, bool]:
    match = NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path} is not the name of a checkpoint")
    return int(match[1]), match[2] is None


def _prune(run: Path, *, step: int, keep: int) -> None:
    present = checkpoints(run)
    newest = [path for path in present if checkpoint_step(path) <= step and not path.name.endswith(".old")][
        -keep:
    ]
    for path in present:
        if path not in newest:
            _discard(path)


def _discard(path: Path) -> None:
    """Remove a checkpoint: first its name, at once, so that no half of it is ever taken for one."""
    if path.exists():
        aside = path.with_name(f"{TEMPORARY}{path.name}")
        path.rename(aside)
        sync(path.parent)
        shutil.rmtree(aside)


def _newest_whole(paths: list[Path]) -> Path | None:
    for path in reversed(paths):
        try:
            verify_folder(path)
        except UserError:
            continue  # as damaged as the one that is asked about, which the caller reports
        return path
    return None


def _damaged(path: Path, error: DamagedError) -> DamagedCheckpointError:
    run = path.parent.parent
    older = _newest_whole([other for other in checkpoints(run) if _order(other) < _order(path)])
    advice = "no whole one is left before it: the run has to begin again"
    if older is not None:
        advice = (
            f"the one before it, {older}, is whole: move {path} away, "
            f"and weft train --resume {run} goes on from step {checkpoint_step(older)}"
        )
    return DamagedCheckpointError(f"{error}; {advice}", older=older)


def _not_written(run: Path, step: int, error: OSError) -> UserError:
    last = latest_checkpoint(run)
    whole = "there is none before it"
    if last is not None:
        whole = f"the last one, {last}, is whole"
    return UserError(
        f"{run}: the checkpoint of step {step} cannot be written ({error}); {whole}: "
        f"make room, then weft train --resume {run}"
    )
