"""What a folder holds, ready for use, whatever it runs on; PyTorch is loaded where that is what it runs on."""

from importlib import import_module
from pathlib import Path
from typing import Any

from weft.config import FolderConfig
from weft.description import DESCRIPTION, read_config, read_description
from weft.errors import UserError
from weft.interchange.ctranslate2_import import describe_ctranslate2, is_ctranslate2
from weft.interchange.onnx_engine import is_onnx
from weft.pipelines.onnx import load_onnx

__all__ = ["describe", "load"]


def load(
    path: str | Path, *, task: str | None = None, device: str | None = None, precision: str = "auto"
) -> Any:
    """The model in a folder, ready for use: a `Translator`, say, or what else it was trained for (see `weft.pipelines`).

    A UserError says what it was trained for, where that is not the `task` that is asked for.
    Every file is checked against its checksum. By default a model that is wide enough for it is used in int8 on an x86
    processor, its linear layers rounded to eight bits, and any in bfloat16 on a GPU that is fast in it; one that gives
    vectors in float32, in which a model's numbers are those that were trained or imported. A model for CTranslate2 or ONNX
    Runtime is used as it was exported, the latter without PyTorch.
    """
    folder = Path(path)
    if is_onnx(folder):
        return load_onnx(folder, task=task, device=device or "cpu", precision=precision)
    try:
        api = import_module("weft.api")
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        describe(folder)  # which says what is wrong with it, if anything is
        raise UserError(f"{folder}: needs PyTorch, which is not installed: pip install torch") from error
    return api.load_on_torch(folder, task=task, device=device, precision=precision)


def describe(folder: Path) -> FolderConfig:
    """What the model in a folder is, weft's own or one for another library."""
    if is_onnx(folder):
        return read_description(folder / DESCRIPTION)
    return describe_ctranslate2(folder)[0] if is_ctranslate2(folder) else read_config(folder)
