"""What a folder holds, told without loading its weights, or PyTorch."""

import json
from pathlib import Path
from typing import Any

from weft.description import RUN, library_of
from weft.loading import describe
from weft.runs.folder import read_manifest
from weft.runs.log import read_log
from weft.runs.manifest import MANIFEST
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
        "run": json.loads((folder / RUN).read_text("utf-8")) if (folder / RUN).exists() else None,
        "result": read_result(folder),
    }


def read_result(folder: Path) -> Result | None:
    """How a run ended; None where it has not, and where there was none."""
    path = folder / METRICS
    records = read_log(path) if path.exists() else []
    if not records or not records[-1].get("finished"):
        return None
    return Result(**{name: records[-1][name] for name in Result._fields})
