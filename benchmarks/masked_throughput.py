"""Pretraining tokens a second at one shape: weft's step and Hugging Face's in turn on the same batches."""

import gzip
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import huggingface_encoder
from benchmarks.huggingface_encoder import MaskedTraining, Shape
from benchmarks.machine import on_cores
from benchmarks.report import Options, Row
from benchmarks.weft_encoder import WeftMasking

__all__ = ["run"]

SHAPE = Shape(30_522, width=256, feed_forward=1024, heads=4, encoder_layers=4)
DROPOUT = 0.1
LINES = 20_000  # of text that is made up
WARM_UP, MEASURED = 1, 5


def run(options: Options) -> list[Row]:
    """A row for one core and one for all: tokens a second without padding, the median over batches."""
    rows = []
    with TemporaryDirectory() as name:
        text, kind = _text(options.data, folder=Path(name))
        weft = WeftMasking(text, shape=SHAPE, dropout=DROPOUT, folder=Path(name) / "weft")
        with on_cores(1):
            way = huggingface_encoder.fastest_training(SHAPE, weft.batch(0), dropout=DROPOUT)
        peer = MaskedTraining(SHAPE, dropout=DROPOUT, way=way, rate=1e-4)
        for cores in sorted({1, len(os.sched_getaffinity(0))}):
            with on_cores(cores):
                ours, theirs = _tokens_a_second(weft, peer)
            rows.append(
                Row(
                    benchmark="masked_throughput",
                    what=f"masked language modelling, {cores} core{'s' * (cores > 1)}",
                    work=f"BERT of {SHAPE}, dropout {DROPOUT}, 4,096-token batches of rows of up to 128, {kind}",
                    unit="tokens/s",
                    weft=ours,
                    weft_settings=str(weft),
                    peer="Hugging Face",
                    peer_value=theirs,
                    peer_settings=str(peer),
                )
            )
    return rows


def _tokens_a_second(weft: WeftMasking, peer: MaskedTraining) -> tuple[float, float]:
    rates: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP + MEASURED):
        seconds = _seconds(partial(weft.step, number))
        batch = weft.batch(number)  # with what that step hid
        rates[0].append(batch.tokens / seconds)
        rates[1].append(batch.tokens / _seconds(partial(peer.step, batch)))
    return median(rates[0][WARM_UP:]), median(rates[1][WARM_UP:])


def _text(data: Path | None, *, folder: Path) -> tuple[Path, str]:
    """WikiText-2 or, where there is none, words made up; and in words which of the two."""
    file = None if data is None else data / "wikitext-2" / "train.txt.gz"
    if file is not None and file.is_file():
        return file, "WikiText-2 by words"
    return _make_up(folder / "text.txt.gz"), "made-up words"


def _make_up(file: Path) -> Path:
    """Documents of 20 to 120 words, of which each occurs."""
    random = np.random.default_rng(0)
    every = " ".join(f"w{word}" for word in range(SHAPE.vocabulary))
    lines = [random.integers(SHAPE.vocabulary, size=size) for size in random.integers(20, 121, LINES)]
    texts = [every, *(" ".join(f"w{word}" for word in line) for line in lines)]
    file.write_bytes(gzip.compress("\n\n".join(texts).encode("utf-8"), compresslevel=1))
    return file


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
