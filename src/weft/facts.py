"""What a folder holds, told without loading its weights, or PyTorch."""

import json
from pathlib import Path
from typing import Any

from weft.description import RUN, library_of
from weft.loading import describe
from weft.runs.folder import read_manifest
from weft.runs.log import read_log
from weft.runs.manifest import MANIFEST, DamagedError
from weft.runs.tensor_files import MODEL, count_numbers
from weft.training.metrics import METRICS
from weft.training.report import Result

__all__ = ["info", "read_result"]


def info(path: str | Path) -> dict[str, Any]:
    """What a folder holds: None for what it does not tell, as how many parameters there are in a file of another library."""
    folder = Path(path)
    config = describe(folder)
    return {
        "folder": str(folder),
        **config.facts,
        "runs_on": library_of(folder),
        "parameters": count_numbers(folder / MODEL) if (folder / MODEL).is_file() else None,
        "weft": read_manifest(folder).weft if (folder / MANIFEST).is_file() else None,
        "model": config.model.model_dump(),
        "run": _read_settings(folder / RUN) if (folder / RUN).exists() else None,
        "unfinished": _unfinished(folder),
        "result": read_result(folder),
    }


def read_result(folder: Path) -> Result | None:
    """How a run ended; None where it has not, and where there was none."""
    last = _last_record(folder)
    if last is None or not last.get("finished"):
        return None
    return Result(**{name: last[name] for name in Result._fields})


def _unfinished(folder: Path) -> str | None:
    """How far a run has got, and how it goes on, where it has not ended."""
    if not (folder / RUN).exists() or read_result(folder) is not None:
        return None
    step = (_last_record(folder) or {"step": 0})["step"]
    return f"{step:,} steps so far; go on with: weft train --resume {folder}"


def _last_record(folder: Path) -> dict[str, Any] | None:
    path = folder / METRICS
    records = read_log(path) if path.exists() else []
    return records[-1] if records else None


def _read_settings(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise DamagedError(f"{path}: the file is damaged: it is not JSON ({error})") from error
