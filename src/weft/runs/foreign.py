"""What a path is when it is no folder of weft's, and the way from there."""

import json
import zipfile
from pathlib import Path

from weft.errors import suggest
from weft.runs.manifest import MANIFEST

__all__ = ["PICKLE_ADVICE", "explain", "is_pickle"]

PICKLE_SUFFIXES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"}
PICKLE_ADVICE = (
    "reading a pickle can run any code hidden in it, so weft does not; where you trust it, convert it: "
    "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')"
)


def explain(path: Path) -> str:
    """Why `path` is no folder of weft's, and what to do about it, in one line that names the path."""
    if not path.exists():
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        return f"{path}: no such folder{suggest(path.name, [s.name for s in siblings if s.is_dir()])}"
    return _explain_folder(path) if path.is_dir() else _explain_file(path)


def is_pickle(path: Path) -> bool:
    """Whether a file's content is a Python pickle, bare or in PyTorch's zip archive."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == b"\x80" and b"\x02" <= start[1:] <= b"\x05":
        return True
    if start != b"PK" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("data.pkl") for name in archive.namelist())


def _explain_file(path: Path) -> str:
    if is_pickle(path):
        return f"{path}: a Python pickle: {PICKLE_ADVICE}"
    if (path.parent / MANIFEST).is_file():
        return f"{path}: a file, where the folder of a model is needed: give {path.parent}"
    return f"{path}: a file, where the folder of a model is needed"


def _explain_folder(path: Path) -> str:
    names = {entry.name for entry in path.iterdir()}
    if "checkpoints" in names:
        return (
            f"{path}: the folder is damaged: a run without its {MANIFEST}: put that back, or begin a new run"
        )
    vocabularies = {name for name in names if "vocabulary." in name}
    if "model.bin" in names and vocabularies:
        return f"{path}: a model for CTranslate2, which weft translate, evaluate, info and import take"
    if "saved_model.pb" in names:
        return f"{path}: a SavedModel, which TensorFlow runs: give the folder that it was exported from"
    if _is_hugging_face(path):
        advice = f"import it first: weft import {path} --out RUN"
        if "pytorch_model.bin" in names and not any(name.endswith(".safetensors") for name in names):
            advice = (
                "its weights are a pickle: load and save it again with transformers, which writes safetensors"
            )
        return f"{path}: a Hugging Face folder: {advice}"
    pickles = sorted(
        name for name in names if Path(name).suffix in PICKLE_SUFFIXES and is_pickle(path / name)
    )
    if pickles:
        return f"{path}: not a folder of weft's, and {pickles[0]} is a Python pickle: {PICKLE_ADVICE}"
    inside = sorted(str(path / name) for name in names if (path / name / MANIFEST).is_file())
    if inside:
        return f"{path}: no model here, but inside it: {', '.join(inside[:8])}"
    return f"{path}: not a folder of weft's: it has no {MANIFEST}"


def _is_hugging_face(path: Path) -> bool:
    config = path / "config.json"
    if not config.is_file():
        return False
    try:
        data = json.loads(config.read_bytes())
    except (ValueError, RecursionError):
        return False  # what is no JSON is no Hugging Face configuration either
    return isinstance(data, dict) and bool(
        {"model_type", "architectures", "transformers_version"} & data.keys()
    )
