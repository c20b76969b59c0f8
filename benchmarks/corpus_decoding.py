"""A whole test set through a trained weft model, against CTranslate2 int8 at the same shape and lengths."""

import os
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import mean, median

import weft
from benchmarks import ctranslate, huggingface
from benchmarks.ctranslate import CTranslate, Group
from benchmarks.huggingface import Shape
from benchmarks.machine import on_cores, seconds_of
from benchmarks.multi30k import END, read_lines
from benchmarks.report import Options, Row
from weft.config import ModelConfig
from weft.errors import UserError
from weft.pipelines.translator import Translator

__all__ = ["run"]

BEAMS = (4, 1)
ROUNDS = 3
GROUP_SIZES = (16, 32, 64)
PAUSE = 0.3
"""Seconds between two sides: threads of the one before may spin for a while, waiting for more work."""


def run(options: Options) -> list[Row]:
    """Beam search and greedy, on one core and on all: sentences a second, the median over rounds."""
    if options.data is None or options.run is None:
        raise UserError(
            "corpus_decoding needs Multi30k (set WEFT_DATA to the data sets' folder) and --run RUN"
        )
    lines = read_lines(options.data / "multi30k" / "test_2016_flickr.de")
    translator = weft.load(options.run, device="cpu")
    rows: list[Row] = []
    for cores, beams in product(sorted({1, len(os.sched_getaffinity(0))}), BEAMS):
        with on_cores(cores):
            rows.append(_compare(translator, lines, beams=beams, cores=cores, run=options.run))
    return rows


def _compare(translator: Translator, lines: list[str], *, beams: int, cores: int, run: Path) -> Row:
    sources = [[*tokens, END] for tokens in translator.tokenizer.encode(lines)]
    lengths = [len(each.tokens) + 1 for each in translator.translate(lines, beams=beams)]
    peer, groups, settings = _fastest(_shape(translator.config.model), sources, lengths, beams=beams)
    rates: dict[str, list[float]] = {"weft": [], "peer": []}
    for _ in range(ROUNDS):
        for name in rates:
            time.sleep(PAUSE)
            start = time.perf_counter()
            if name == "weft":
                translator.translate(lines, beams=beams)
            else:
                peer.decode(groups, beams=beams)
            rates[name].append(len(lines) / (time.perf_counter() - start))
    return Row(
        benchmark="corpus_decoding",
        what=f"{f'beam {beams}' if beams > 1 else 'greedy'}, {cores} core{'s' * (cores > 1)}",
        work=f"test_2016_flickr, {len(lines)} sentences, {sum(lengths)} tokens written",
        unit="sentences/s",
        weft=median(rates["weft"]),
        weft_settings=f"defaults ({translator.precision}), {run}, from text to text",
        peer="CTranslate2",
        peer_value=median(rates["peer"]),
        peer_settings=settings,
    )


def _shape(config: ModelConfig) -> Shape:
    """A gated feed-forward has three matrices where the peer's has two."""
    return Shape(
        config.vocabulary,
        width=config.width,
        feed_forward=config.feed_forward * 3 // 2 if config.gated else config.feed_forward,
        heads=config.heads,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
    )


def _fastest(
    shape: Shape, sources: Sequence[Sequence[int]], lengths: Sequence[int], *, beams: int
) -> tuple[CTranslate, list[Group], str]:
    """CTranslate2 in the way, and with the batches, in which it is fastest on this machine."""
    model = huggingface.make_model(shape, dropout=0.0, attention="sdpa").eval()
    peers = {way: CTranslate(model, way=way) for way in ctranslate.ways()}
    groups = {size: _groups(sources, lengths, size=size) for size in GROUP_SIZES}
    best, size = min(
        product(peers, GROUP_SIZES),
        key=lambda choice: seconds_of(
            lambda: peers[choice[0]].decode(groups[choice[1]], beams=beams), times=1
        ),
    )
    settings = (
        f"int8, {best}, a MarianMT of {shape} with random weights, from tokens to tokens, sorted, in batches "
        f"of {size}, each of which is made to write as many tokens as weft did"
    )
    return peers[best], groups[size], settings


def _groups(sources: Sequence[Sequence[int]], lengths: Sequence[int], *, size: int) -> list[Group]:
    """Batches sorted by source length; all outputs of a batch are as long as weft's are in the mean."""
    order = sorted(range(len(sources)), key=lambda row: -len(sources[row]))
    cuts = [order[first : first + size] for first in range(0, len(order), size)]
    return [
        ctranslate.group([sources[row] for row in rows], length=round(mean(lengths[row] for row in rows)))
        for rows in cuts
    ]
