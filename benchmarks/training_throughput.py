"""Training tokens a second at one shape, weft's step and Hugging Face's in turn on the same batches."""

import os
import time
from itertools import islice
from statistics import median

import torch

from benchmarks import huggingface
from benchmarks.huggingface import Shape
from benchmarks.multi30k import Batch, batches, token_pairs
from benchmarks.report import Options, Row
from benchmarks.weft_training import WeftTraining

__all__ = ["run"]

SHAPE = Shape(8000, width=256, feed_forward=1024, heads=4, encoder_layers=3, decoder_layers=3)
DROPOUT, BATCH_TOKENS = 0.1, 2048
WARM_UP, MEASURED = 2, 12


def run(options: Options) -> list[Row]:
    """One row: tokens a second, source and target together without padding, the median over batches."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    pairs, data = token_pairs(options.data, size=SHAPE.vocabulary)
    chosen = list(islice(batches(pairs, tokens=BATCH_TOKENS, seed=0), WARM_UP + MEASURED))
    way = huggingface.fastest_training(SHAPE, chosen[0], dropout=DROPOUT)
    sides: list[WeftTraining | huggingface.Training] = [
        WeftTraining(SHAPE, dropout=DROPOUT),
        huggingface.Training(SHAPE, dropout=DROPOUT, way=way, rate=1e-4),
    ]
    rates: list[list[float]] = [[], []]
    for number, batch in enumerate(chosen):
        for side, side_rates in zip(sides, rates, strict=True):
            rate = _tokens_a_second(side, batch)
            if number >= WARM_UP:
                side_rates.append(rate)
    weft, peer = map(median, rates)
    return [
        Row(
            benchmark="training_throughput",
            what="steps of optimisation",
            work=f"{SHAPE}, dropout {DROPOUT}, {BATCH_TOKENS}-token batches of {data}",
            unit="tokens/s",
            weft=weft,
            weft_settings=str(sides[0]),
            peer="Hugging Face",
            peer_value=peer,
            peer_settings=str(sides[1]),
        )
    ]


def _tokens_a_second(training: WeftTraining | huggingface.Training, batch: Batch) -> float:
    start = time.perf_counter()
    training.step(batch)
    return batch.tokens / (time.perf_counter() - start)
