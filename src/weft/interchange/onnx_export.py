"""Writing a model as ONNX Runtime runs it."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from weft.config import FolderConfig
from weft.errors import UserError, suggest
from weft.interchange.onnx_models import make_graphs, obstacles

__all__ = ["PRECISIONS", "export_onnx"]

PRECISIONS = ("float32", "int8")


def export_onnx(
    folder: FolderConfig, weights: Mapping[str, NDArray[Any]], *, quantization: str = "float32"
) -> dict[str, bytes]:
    """The files that ONNX Runtime loads, by name.

    Raises UserError for a model that has no graph, with the fields that stand in the way, for one that is too large for a
    file, and for a quantization that there is not.
    """
    if quantization not in PRECISIONS:
        raise UserError(
            f'no quantization "{quantization}" for ONNX{suggest(quantization, PRECISIONS)} '
            f"(there are: {', '.join(PRECISIONS)})"
        )
    if problems := obstacles(folder.model):
        raise UserError(f"weft has no ONNX graph for this model: {'; '.join(problems)}")
    return make_graphs(folder, weights, int8=quantization == "int8")
