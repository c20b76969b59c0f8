"""Decoding tokens a second of one batch at a large shape: weft, CTranslate2 int8 and Hugging Face in turn.

Each has one core to itself while the others wait, and then all of them.
"""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

import torch
from transformers import MarianMTModel

from benchmarks import ctranslate, huggingface, weft_model
from benchmarks.ctranslate import CTranslate
from benchmarks.huggingface import Shape
from benchmarks.machine import fast_dtypes, on_cores, seconds_of
from benchmarks.multi30k import END
from benchmarks.report import Options, Row
from weft.config import TranslatorConfig
from weft.models.seq2seq import Seq2Seq
from weft.nn.inference import choose_precision, convert
from weft.pipelines.torch_seq2seq import TorchSeq2Seq
from weft.pipelines.translator import Translator
from weft.text.training import train_tokenizer

__all__ = ["run"]

SHAPE = Shape(32_000, width=512, feed_forward=2048, heads=8, encoder_layers=6, decoder_layers=6)
SENTENCES, LENGTH = 16, 25
SPECIAL = 4  # tokens before the first word
BEAMS = (4, 1)
ROUNDS = 5
PAUSE = 0.3
"""Seconds between two sides: threads of the one before may spin for a while, waiting for more work."""

Decode = Callable[[], object]


def run(options: Options) -> list[Row]:
    """Two rows a peer, beam search and greedy, on one core and on all: generated tokens a second, the median over rounds."""
    rows: list[Row] = []
    for cores in sorted({1, len(os.sched_getaffinity(0))}):
        with on_cores(cores):
            rows += _compare(cores)
    return rows


def _compare(cores: int) -> list[Row]:
    torch.manual_seed(0)
    sources = [[*torch.randint(4, SHAPE.vocabulary, (LENGTH - 1,)).tolist(), END] for _ in range(SENTENCES)]
    model = huggingface.make_model(SHAPE, dropout=0.0, attention="sdpa").eval()
    rows = []
    for beams in BEAMS:
        sides = {
            "weft": _weft(sources, beams=beams),
            "CTranslate2": _ctranslate(model, sources, beams=beams),
            "Hugging Face": _huggingface(sources, beams=beams),
        }
        rates = _tokens_a_second({name: decode for name, (decode, _) in sides.items()})
        rows += [
            Row(
                benchmark="decoding",
                what=f"{f'beam {beams}' if beams > 1 else 'greedy'}, {cores} core{'s' * (cores > 1)}",
                work=f"{SHAPE}, {SENTENCES} sentences of {LENGTH} tokens, {LENGTH} new tokens each",
                unit="tokens/s",
                weft=rates["weft"],
                weft_settings=sides["weft"][1],
                peer=peer,
                peer_value=rates[peer],
                peer_settings=sides[peer][1],
            )
            for peer in ("CTranslate2", "Hugging Face")
        ]
    return rows


def _tokens_a_second(sides: Mapping[str, Decode]) -> dict[str, float]:
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for decode in sides.values():
        decode()
    for _ in range(ROUNDS):
        for name, decode in sides.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            decode()
            rates[name].append(SENTENCES * LENGTH / (time.perf_counter() - start))
    return {name: median(values) for name, values in rates.items()}


def _weft(sources: list[list[int]], *, beams: int) -> tuple[Decode, str]:
    """A translator as `weft.load` gives it; its tokenizer makes a token of each word."""
    words = [f"w{number}" for number in range(SHAPE.vocabulary - SPECIAL)]
    tokenizer = train_tokenizer([" ".join(words)], kind="words", size=SHAPE.vocabulary)
    config = TranslatorConfig(directions=(("source", "target"),), tags=False, model=weft_model.config(SHAPE))
    precision = choose_precision("auto", width=SHAPE.width, device=torch.device("cpu"))
    model = convert(Seq2Seq(config.model), precision)
    translator = Translator(config, network=TorchSeq2Seq(model), tokenizer=tokenizer, precision=precision)
    texts = [" ".join(words[token - SPECIAL] for token in source[:-1]) for source in sources]
    decode = partial(translator.translate, texts, beams=beams, min_length=LENGTH, max_length=LENGTH)
    return decode, f"defaults ({precision}), from text to text"


def _ctranslate(model: MarianMTModel, sources: list[list[int]], *, beams: int) -> tuple[Decode, str]:
    """The fastest way: the whole batch on all cores, or a share of it on each."""
    decodes: dict[ctranslate.Way, Decode] = {}
    for way in ctranslate.ways():
        translate, share = CTranslate(model, way=way), -(-len(sources) // way.workers)
        groups = [
            ctranslate.group(sources[first : first + share], length=LENGTH)
            for first in range(0, len(sources), share)
        ]
        decodes[way] = partial(translate.decode, groups, beams=beams)
    best = min(decodes, key=lambda way: seconds_of(decodes[way], times=2))
    return decodes[best], f"int8, {best}, the same weights as Hugging Face"


def _huggingface(sources: list[list[int]], *, beams: int) -> tuple[Decode, str]:
    """The fastest way: of the number formats that the machine is fast in, and of the attention kernels."""
    source = torch.tensor(sources)
    decodes: dict[huggingface.Way, Decode] = {}
    for way in (huggingface.Way(dtype, kernel) for dtype in fast_dtypes() for kernel in ("sdpa", "eager")):
        model = huggingface.make_model(SHAPE, dropout=0.0, attention=way.attention).to(way.dtype).eval()
        decodes[way] = partial(
            huggingface.generate, model, source, beams=beams, longest=LENGTH, shortest=LENGTH
        )
    best = min(decodes, key=lambda way: seconds_of(decodes[way], times=1))
    return decodes[best], str(best)
