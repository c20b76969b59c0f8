"""The models of a folder for ONNX Runtime in use, without torch."""

from pathlib import Path
from typing import Any

from weft.config import ClassifierConfig, GeneratorConfig, ReaderConfig
from weft.description import DESCRIPTION, open_tokenizer, read_description
from weft.errors import UserError
from weft.interchange.onnx_engine import OnnxReader, OnnxSeq2Seq
from weft.models.ngrams import load_ngrams
from weft.pipelines.onnx_generator import OnnxGenerator
from weft.pipelines.registry import PIPELINES
from weft.runs.folder import verify
from weft.text.tokenizer import Tokenizer

__all__ = ["load_onnx"]


def load_onnx(folder: Path, *, task: str | None, device: str, precision: str) -> Any:
    """The model in a folder for ONNX Runtime, ready for use; every file is checked against its checksum.

    Raises UserError for a model with another task, and for a precision that it was not exported in.
    """
    verify(folder)
    config = read_description(folder / DESCRIPTION)
    if task is not None and config.task != task:
        raise UserError(f"{folder}: a model for the task {config.task}, where one for {task} is needed")
    tokenizer = open_tokenizer(folder, config)
    if isinstance(config, GeneratorConfig):
        assert isinstance(tokenizer, Tokenizer)
        generator = OnnxGenerator(folder, config, tokenizer=tokenizer, device=device)
        _check(precision, generator.precision, folder)
        return generator
    network = (OnnxReader if isinstance(config, ReaderConfig) else OnnxSeq2Seq)(folder, config, device=device)
    _check(precision, network.precision, folder)
    ngrams = load_ngrams(folder, config)
    beside = {"ngrams": ngrams} if isinstance(config, ClassifierConfig) else {}
    return PIPELINES[config.task](
        config, network=network, tokenizer=tokenizer, precision=network.precision, **beside
    )


def _check(asked: str, there: str, folder: Path) -> None:
    if asked not in ("auto", there):
        raise UserError(
            f"{folder}: the model was exported in {there}, and runs in no other precision, {asked} for one"
        )
