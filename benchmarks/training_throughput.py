"""Training tokens a second at one shape: weft's step and Hugging Face's in turn on the same batches."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch

from benchmarks import huggingface
from benchmarks.huggingface import Shape, Training
from benchmarks.multi30k import write_made_up
from benchmarks.report import Options, Row
from benchmarks.weft_training import WeftTraining
from weft.config import TokenizerConfig

__all__ = ["run"]

SHAPE = Shape(8000, width=256, feed_forward=1024, heads=4, encoder_layers=3, decoder_layers=3)
DROPOUT, BATCH_TOKENS = 0.1, 2048
WARM_UP, MEASURED = 2, 12


def run(options: Options) -> list[Row]:
    """One row: tokens a second, source and target together without padding, the median over batches."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    with TemporaryDirectory() as name:
        weft, text = _weft(options.data, folder=Path(name))
        way = huggingface.fastest_training(SHAPE, weft.batch(0), dropout=DROPOUT)
        peer = Training(SHAPE, dropout=DROPOUT, way=way, rate=1e-4)
        rates: dict[object, list[float]] = {weft: [], peer: []}
        for number in range(WARM_UP + MEASURED):
            batch = weft.batch(number)
            rates[weft].append(batch.tokens / _seconds(partial(weft.step, number)))
            rates[peer].append(batch.tokens / _seconds(partial(peer.step, batch)))
    return [
        Row(
            benchmark="training_throughput",
            what="steps of optimisation",
            work=f"{SHAPE}, dropout {DROPOUT}, {BATCH_TOKENS}-token batches of {text}",
            unit="tokens/s",
            weft=median(rates[weft][WARM_UP:]),
            weft_settings=str(weft),
            peer="Hugging Face",
            peer_value=median(rates[peer][WARM_UP:]),
            peer_settings=str(peer),
        )
    ]


def _weft(data: Path | None, *, folder: Path) -> tuple[WeftTraining, str]:
    """On Multi30k or, where there is none, on words made up at its lengths; and in words which of the two."""
    if data is None:
        write_made_up(folder, words=SHAPE.vocabulary)
    training = WeftTraining(
        str(data / "multi30k" / "train.{de,en}.gz" if data else folder / "train.{de,en}"),
        languages=("de", "en"),
        tokenizer=TokenizerConfig(kind="bpe" if data else "words", size=SHAPE.vocabulary),
        shape=SHAPE,
        dropout=DROPOUT,
        batch_tokens=BATCH_TOKENS,
        folder=folder / "weft",
    )
    real = f"Multi30k de-en, joint BPE {SHAPE.vocabulary}"
    return training, real if data else "made-up words at lengths that resemble Multi30k's"


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
