"""Models that run on ONNX Runtime, without torch: what reads, and what writes."""

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.config import FolderConfig, ModelConfig
from weft.data.batches import collate
from weft.description import CONFIG
from weft.errors import UserError
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.interchange.extras import need
from weft.interchange.onnx_models import DECODER, ENCODER, MODEL
from weft.interchange.onnx_predictors import Seq2SeqPredictor, generate
from weft.network import Head, Tokens, by_length

__all__ = ["CLOSED", "OnnxReader", "OnnxSeq2Seq", "is_onnx", "open_session", "precision_of"]

READ_TOKENS = 256  # that are read together: with more, texts are filled up more

CLOSED = "a model on ONNX Runtime cannot be inspected: take the one that it was exported from"

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def is_onnx(folder: Path) -> bool:
    """Whether a folder holds a model for ONNX Runtime; Hugging Face's may have one beside their own."""
    return any((folder / name).is_file() for name in (MODEL, DECODER)) and not (folder / CONFIG).is_file()


def open_session(path: Path, *, device: str) -> Any:
    """An `onnxruntime.InferenceSession`. Raises UserError for a device that the library has not, and a damaged file."""
    library = need("onnxruntime", extra="onnx")
    kind, _, number = device.partition(":")
    there = [name for name, provider in _PROVIDERS.items() if provider in library.get_available_providers()]
    if kind not in there or not (number or "0").isdecimal() or (kind == "cpu" and number):
        raise UserError(f'device "{device}" is not there for ONNX Runtime (there are: {", ".join(there)})')
    wanted = _PROVIDERS[kind]
    options = library.SessionOptions()
    if hasattr(os, "sched_getaffinity"):  # on Linux, where this process may not have all cores
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
    provider = (wanted, {"device_id": number or "0"}) if kind == "cuda" else wanted
    try:
        return library.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # of several kinds, none of which the library names in public
        raise UserError(f"{path}: ONNX Runtime cannot load it: {error}") from error


def precision_of(session: Any) -> str:
    """What a model's weights are held in: float32 or int8."""
    return str(session.get_modelmeta().custom_metadata_map.get("precision", "float32"))


class _Closed:
    """What runs on ONNX Runtime cannot be looked into."""

    @property
    def model(self) -> Any:
        raise UserError(CLOSED)


class OnnxReader(_Closed):
    """An encoder with its heads, a `Network`."""

    def __init__(self, folder: Path, config: FolderConfig, *, device: str) -> None:
        self.config = config.model
        self.session = open_session(folder / MODEL, device=device)
        self.precision = precision_of(self.session)
        self.inputs = {each.name for each in self.session.get_inputs()}

    def ask(
        self,
        head: Head,
        ids: Sequence[Tokens],
        segments: Sequence[Tokens],
        *,
        places: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """See `Network.ask`; texts that are read together are padded to the longest."""
        for chunk in by_length([len(each) for each in ids], tokens=READ_TOKENS):
            given = {"ids": collate([ids[row] for row in chunk], pad_id=self.config.special.pad)}
            if "segments" in self.inputs:
                read = collate([segments[row] for row in chunk], pad_id=0)
                given["segments"] = np.minimum(read, self.config.segments - 1)
            if "places" in self.inputs:
                asked = [()] * len(ids) if places is None else places
                at = [(row, place) for row, number in enumerate(chunk) for place in asked[number]]
                given["places"] = np.array(at, np.int64).reshape(-1, 2)
            (found,) = self.session.run([head], given)
            if head in ("classify", "masked"):
                yield chunk, found
                continue
            begin = 0
            for length, group in groupby(len(ids[row]) for row in chunk):
                end = begin + len(list(group))
                yield chunk[begin:end], found[begin:end, :length]
                begin = end


class OnnxSeq2Seq(_Closed):
    """An encoder-decoder, a `Seq2SeqNetwork`."""

    def __init__(self, folder: Path, config: FolderConfig, *, device: str) -> None:
        self.config: ModelConfig = config.model
        self.encoder = open_session(folder / ENCODER, device=device)
        self.decoder = open_session(folder / DECODER, device=device)
        self.precision = precision_of(self.decoder)

    def search(self, sources: Sequence[Sequence[int]], config: SearchConfig) -> list[list[Hypothesis]]:
        """See `Seq2SeqNetwork`."""
        return generate(sources, config, encoder=self.encoder, decoder=self.decoder, model=self.config)

    def attention(self, source: Sequence[int], target: Sequence[int]) -> NDArray[np.float32]:
        """See `Seq2SeqNetwork`."""
        read = Seq2SeqPredictor(self.encoder, self.decoder, sources=np.array([source]), model=self.config)
        return read.attention(np.array([[self.config.special.start, *target[:-1]]]))
