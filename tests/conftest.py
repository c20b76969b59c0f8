"""What every test can use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def weft_data() -> Path:
    """The folder of the public data sets: WEFT_DATA, or shared/data beside the repository."""
    folder = Path(os.environ.get("WEFT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data sets in {folder}: set WEFT_DATA to their folder")
    return folder
