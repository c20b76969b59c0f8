"""Sentences a second through BERT-base on ONNX Runtime in int8: weft's graph and Hugging Face's, in turn, on one core."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import huggingface_encoder, onnx_encoder
from benchmarks.huggingface_encoder import Way
from benchmarks.machine import on_cores
from benchmarks.reading import LONGEST, SENTENCES, SHAPE, SHORTEST, make_texts, sentences_a_second
from benchmarks.report import Options, Row
from benchmarks.weft_encoder import make_embedder
from weft.interchange.onnx_engine import OnnxReader
from weft.interchange.onnx_export import export_onnx

__all__ = ["run"]


def run(options: Options) -> list[Row]:
    """A row for each number of cores: sentences a second, the median over rounds."""
    return [_row(cores) for cores in (1, 2)]


def _row(cores: int) -> Row:
    with on_cores(cores), TemporaryDirectory() as folder:
        texts = make_texts()
        embedder = make_embedder(SHAPE)
        weights = {name: value.numpy() for name, value in embedder.network.model.state_dict().items()}
        for name, content in export_onnx(embedder.config, weights, quantization="int8").items():
            (Path(folder) / name).write_bytes(content)
        ours = OnnxReader(Path(folder), embedder.config, device="cpu")
        model = huggingface_encoder.make_reader(SHAPE, way=Way(torch.float32, "eager"))
        theirs, settings = onnx_encoder.fastest_reading(model, texts)
        rates = sentences_a_second({"weft": partial(_read, ours, texts), "peer": theirs})
    return Row(
        benchmark="onnx_reading",
        what=f"vectors of sentences on ONNX Runtime, {cores} core{'s' * (cores > 1)}",
        work=f"BERT of {SHAPE}, random weights, {SENTENCES} sentences of {SHORTEST} to {LONGEST} tokens",
        unit="sentences/s",
        weft=rates["weft"],
        weft_settings="weft export --to onnx --quantization int8, read as weft.load does",
        peer="Hugging Face's, by torch.onnx and quantize_dynamic",
        peer_value=rates["peer"],
        peer_settings=settings,
    )


def _read(reader: OnnxReader, texts: list[list[int]]) -> NDArray[np.float32]:
    """The mean of each text's hidden states (N, D)."""
    vectors = np.empty((len(texts), SHAPE.width), dtype=np.float32)
    for rows, states in reader.ask("states", texts, [[0] * len(text) for text in texts]):
        vectors[rows] = states.mean(axis=1)
    return vectors
