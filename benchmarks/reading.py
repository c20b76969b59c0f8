"""Sentences a second through an encoder of BERT-base's shape: weft, Hugging Face and ONNX Runtime in turn, on one core."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from statistics import median

import numpy as np
import torch

from benchmarks import huggingface_encoder
from benchmarks.huggingface_encoder import Shape, Way
from benchmarks.machine import on_cores
from benchmarks.multi30k import END, START
from benchmarks.report import Options, Row
from benchmarks.weft_encoder import WORDS, make_embedder, spell

__all__ = ["LONGEST", "SENTENCES", "SHAPE", "SHORTEST", "make_texts", "run", "sentences_a_second"]

SHAPE = Shape(30_522, width=768, feed_forward=3072, heads=12, encoder_layers=12)
SENTENCES, SHORTEST, LONGEST = 64, 4, 60
ROUNDS = 5
PAUSE = 0.3
"""Seconds between two sides: threads of the one before may spin for a while, waiting for more work."""

Read = Callable[[], object]


def run(options: Options) -> list[Row]:
    """A row a peer: sentences a second, the median over rounds."""
    with on_cores(1):
        sides, left_out = _sides()
        rates = sentences_a_second({name: read for name, (read, _) in sides.items()})
    return [
        Row(
            benchmark="reading",
            what="vectors of sentences, 1 core",
            work=f"BERT of {SHAPE}, random weights, {SENTENCES} sentences of {SHORTEST} to {LONGEST} tokens{left_out}",
            unit="sentences/s",
            weft=rates["weft"],
            weft_settings=sides["weft"][1],
            peer=peer,
            peer_value=rates[peer],
            peer_settings=sides[peer][1],
        )
        for peer in sides
        if peer != "weft"
    ]


def make_texts() -> list[list[int]]:
    """Sentences of random tokens."""
    random = np.random.default_rng(0)
    lengths = random.integers(SHORTEST, LONGEST + 1, SENTENCES)
    return [[START, *random.integers(WORDS, SHAPE.vocabulary, size - 2).tolist(), END] for size in lengths]


def _sides() -> tuple[dict[str, tuple[Read, str]], str]:
    """Each side's best way of reading the sentences, with its name; and what is left out, and why."""
    texts = make_texts()
    embedder = make_embedder(SHAPE)
    sides: dict[str, tuple[Read, str]] = {
        "weft": (
            partial(embedder.embed, [spell(text) for text in texts]),
            f"defaults ({embedder.precision}), from text to vectors",
        ),
        "Hugging Face": huggingface_encoder.fastest_reading(SHAPE, texts),
    }
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        return sides, f"; ONNX Runtime is left out: {' and '.join(missing)} is not installed"
    from benchmarks import onnx_encoder

    # Eager attention is what its own optimiser of graphs knows.
    model = huggingface_encoder.make_reader(SHAPE, way=Way(torch.float32, "eager"))
    return sides | {"ONNX Runtime": onnx_encoder.fastest_reading(model, texts)}, ""


def sentences_a_second(sides: Mapping[str, Read]) -> dict[str, float]:
    """How fast each side reads, in turn: the median over rounds."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for read in sides.values():
        read()
    for _ in range(ROUNDS):
        for name, read in sides.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            read()
            rates[name].append(SENTENCES / (time.perf_counter() - start))
    return {name: median(values) for name, values in rates.items()}
