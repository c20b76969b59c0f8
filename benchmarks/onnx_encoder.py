"""The peer ONNX Runtime, with the weights of a BertModel in eight bits."""

import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn
from transformers import BertModel

from benchmarks.huggingface_encoder import ROWS, sorted_batches
from benchmarks.machine import seconds_of
from benchmarks.multi30k import PAD

__all__ = ["OnnxReader", "fastest_reading"]

OPSET = 17
AXES = {0: "texts", 1: "tokens"}


class OnnxReader:
    """A model exported to ONNX, its weights in eight bits and its inputs by their range, unless `int8` says otherwise."""

    def __init__(self, model: BertModel, *, threads: int, int8: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        with TemporaryDirectory() as folder:
            file, small = Path(folder) / "model.onnx", Path(folder) / "int8.onnx"
            _export(model, file)
            if int8:
                quantize_dynamic(file, small, weight_type=QuantType.QInt8)
            self._session = onnxruntime.InferenceSession(
                str(small if int8 else file), options, providers=["CPUExecutionProvider"]
            )
        self.width = model.config.hidden_size

    def read(self, texts: Sequence[Sequence[int]], *, rows: int) -> NDArray[np.float32]:
        """The mean of each text's hidden states (N, D), in the texts' order; so many at a time, the longest first."""
        vectors = np.empty((len(texts), self.width), dtype=np.float32)
        for chosen, ids in sorted_batches(texts, rows=rows):
            keep = (ids != PAD).long().numpy()
            (states,) = self._session.run(None, {"ids": ids.numpy(), "keep": keep})
            vectors[chosen] = (states * keep[..., None]).sum(1) / keep.sum(1, keepdims=True)
        return vectors


def fastest_reading(model: BertModel, texts: Sequence[Sequence[int]]) -> tuple[Callable[[], object], str]:
    """The fastest way of reading the texts, of batches by their size; and its name."""
    reader = OnnxReader(model, threads=len(os.sched_getaffinity(0)))
    ways = {rows: partial(reader.read, texts, rows=rows) for rows in ROWS}
    rows = min(ways, key=lambda rows: seconds_of(ways[rows], times=1))
    return ways[rows], f"int8 (dynamic), sorted, {rows} texts a batch, the same weights as Hugging Face"


class _States(nn.Module):
    """What is exported: tokens and which are real, to hidden states."""

    def __init__(self, model: BertModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, keep: Tensor) -> Tensor:
        states: Tensor = self.model(input_ids=ids, attention_mask=keep).last_hidden_state
        return states


def _export(model: BertModel, file: Path) -> None:
    ids = torch.arange(4, 20).view(2, 8)
    keep = torch.ones_like(ids)
    keep[1, 5:] = 0  # else what a mask does would be left out of what is traced
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of traced Python values and of the exporter's successor
        torch.onnx.export(
            _States(model),
            (ids, keep),
            str(file),
            input_names=["ids", "keep"],
            output_names=["states"],
            dynamic_axes={"ids": AXES, "keep": AXES, "states": AXES},
            opset_version=OPSET,
            dynamo=False,
        )
