"""The peer CTranslate2, with the weights of a MarianMT."""

import os
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import NamedTuple

import ctranslate2
from ctranslate2.converters.transformers import BartLoader
from transformers import MarianMTModel

from benchmarks.multi30k import END, PAD, START, UNKNOWN

__all__ = ["CTranslate", "Group", "Way", "group", "ways"]

SPELLED = {PAD: "<pad>", START: "<s>", END: "</s>"}
TOKENS = {spelled: token for token, spelled in SPELLED.items()}


class Group(NamedTuple):
    """Sentences that are decoded as one batch, and how many tokens each output gets."""

    sources: list[list[str]]
    length: int


class Way(NamedTuple):
    """How many batches are decoded at a time, and by how many threads each."""

    workers: int
    threads: int

    def __str__(self) -> str:
        return f"{self.workers} workers of {self.threads} threads"


def ways() -> list[Way]:
    """All cores on one batch, or a batch for each core."""
    cores = len(os.sched_getaffinity(0))
    return [Way(1, cores)] if cores == 1 else [Way(1, cores), Way(cores, 1)]


class CTranslate:
    """A model on the CPU, its weights converted to `compute_type`."""

    def __init__(self, model: MarianMTModel, *, way: Way, compute_type: str = "int8") -> None:
        with TemporaryDirectory() as folder:
            _convert(model, folder=folder, compute_type=compute_type)
            self._translator = ctranslate2.Translator(
                folder,
                device="cpu",
                compute_type=compute_type,
                inter_threads=way.workers,
                intra_threads=way.threads,
            )

    def decode(self, groups: Sequence[Group], *, beams: int) -> list[list[list[int]]]:
        """The outputs' tokens, group by group."""
        pending = [
            self._translator.translate_batch(
                group.sources,
                asynchronous=True,
                beam_size=beams,
                min_decoding_length=group.length,
                max_decoding_length=group.length,
            )
            for group in groups
        ]
        return [[list(map(_token, row.result().hypotheses[0])) for row in rows] for rows in pending]


def group(sources: Sequence[Sequence[int]], *, length: int) -> Group:
    """Tokens in the peer's spelling."""
    return Group([list(map(_spell, tokens)) for tokens in sources], length)


def _spell(token: int) -> str:
    return SPELLED.get(token, str(token))


def _token(spelled: str) -> int:
    return TOKENS[spelled] if spelled in TOKENS else int(spelled)


def _convert(model: MarianMTModel, *, folder: str, compute_type: str) -> None:
    """CTranslate2's own converter of the BART family: that of MarianMT takes the last token for padding."""
    model.config.normalize_before = model.config.normalize_embedding = False
    spec = BartLoader().get_model_spec(model)
    named = {"bos": START, "eos": END, "unk": UNKNOWN, "decoder_start": START}
    for name, token in named.items():
        setattr(spec.config, f"{name}_token", _spell(token))
    tokens = [_spell(token) for token in range(model.config.vocab_size)]
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.validate()
    spec.optimize(quantization=compute_type if compute_type != "float32" else None)
    spec.save(folder)
