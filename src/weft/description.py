"""What a model is, read from the file that says so."""

import json
from pathlib import Path

from weft.config import FOLDERS, FolderConfig
from weft.errors import UserError
from weft.overrides import validate
from weft.runs.manifest import DamagedError

__all__ = ["read_description"]


def read_description(path: Path) -> FolderConfig:
    """The description of a model in a JSON file; a UserError where there is none that this weft knows."""
    try:
        described = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path}: the file is damaged: it is not JSON ({error})") from error
    if not isinstance(described, dict):
        raise DamagedError(f"{path}: the file is damaged: it holds no JSON object")
    if described.get("task") not in FOLDERS:
        raise UserError(
            f"{path}: a model for {described.get('task')!r}, which this weft does not know: update weft"
        )
    try:
        return validate(FOLDERS[described["task"]], described)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
