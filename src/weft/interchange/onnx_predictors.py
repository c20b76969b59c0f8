"""Decoders and encoder-decoders that run on ONNX Runtime, and what they write: in order, without torch."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.config import ModelConfig
from weft.errors import UserError
from weft.generate.config import SearchConfig, check_words
from weft.generate.hypothesis import Hypothesis
from weft.interchange.numpy_scores import Processor
from weft.interchange.numpy_search import search

__all__ = ["DecoderPredictor", "Seq2SeqPredictor", "continue_prompts", "generate", "nothing_read"]

TOKENS = 100  # that are written where nobody says how many
ROWS = 64  # that are written together

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Session = Any
"""An `onnxruntime.InferenceSession`, which has no types."""


class _Cached:
    """A decoder's session and what it has read: `past.*` that goes in, `present.*` that comes out."""

    def __init__(self, decoder: Session, *, model: ModelConfig, rows: int) -> None:
        self.decoder = decoder
        self.past = nothing_read(model, rows=rows)

    def read(self, tokens: Ints, **memory: NDArray[Any]) -> Floats:
        """Each row's new tokens (B, T) to the logits (B, V) after the last of them."""
        given = {"ids": tokens, "scored": np.ones(1, np.int64), **memory}
        given |= {f"past.{name}": each for name, each in self.past.items()}
        logits, *present = self.decoder.run(["logits", *(f"present.{name}" for name in self.past)], given)
        self.past = dict(zip(self.past, present, strict=True))
        last: Floats = logits[:, 0]
        return last

    def reorder(self, rows: Ints) -> None:
        self.past = {name: each[rows] for name, each in self.past.items()}


def nothing_read(model: ModelConfig, *, rows: int) -> dict[str, NDArray[Any]]:
    """What a decoder begins with: no keys and no values in any layer, and no tokens."""
    shape = (rows, model.groups, 0, model.head_width)
    past: dict[str, NDArray[Any]] = {
        f"{layer}.{name}": np.zeros(shape, np.float32)
        for layer in range(model.decoder_layers)
        for name in ("keys", "values")
    }
    if model.ngrams is not None and model.knows_ngrams:
        past["tokens"] = np.zeros((rows, model.ngrams.longest - 1), np.int64)
    return past


class DecoderPredictor:
    """A decoder that goes on with prompts (M, P) of one length."""

    def __init__(self, decoder: Session, prompts: Ints, *, model: ModelConfig) -> None:
        self.prompts: Ints | None = prompts
        self.cached = _Cached(decoder, model=model, rows=len(prompts))

    def predict(self, tokens: Ints) -> Floats:
        """The logits after the prompts, which take the place of the first start tokens, or after the new tokens."""
        new, self.prompts = (tokens if self.prompts is None else self.prompts), None
        return self.cached.read(new)

    def reorder(self, rows: Ints) -> None:
        """Move the cached keys and values."""
        self.cached.reorder(rows)

    def keep(self, sentences: Ints) -> None:
        """Nothing is remembered by sentence."""


class Seq2SeqPredictor:
    """An encoder-decoder that has read sources (M, S), the shorter ones padded: its graphs do not look at that."""

    def __init__(self, encoder: Session, decoder: Session, *, sources: Ints, model: ModelConfig) -> None:
        names = [each.name for each in encoder.get_outputs()]
        read = encoder.run(names, {"source": sources})
        self.memory = {"source": sources, **dict(zip(names, read, strict=True))}
        self.cached = _Cached(decoder, model=model, rows=len(sources))

    def predict(self, tokens: Ints) -> Floats:
        """Decode the new tokens."""
        return self.cached.read(tokens, **self.memory)

    def attention(self, tokens: Ints) -> Floats:
        """What the first tokens (1, T) of the only source look at, by layer and head: (L, H, T, S)."""
        given = {"ids": tokens, "scored": np.ones(1, np.int64), **self.memory}
        given |= {f"past.{name}": each for name, each in self.cached.past.items()}
        names = [
            each.name for each in self.cached.decoder.get_outputs() if each.name.startswith("attention.")
        ]
        return np.concatenate(self.cached.decoder.run(names, given))

    def reorder(self, rows: Ints) -> None:
        """Move the cached keys and values; the memory's stay, since no row leaves its sentence."""
        self.cached.reorder(rows)

    def keep(self, sentences: Ints) -> None:
        """Drop what belongs to the other sources."""
        self.memory = {name: each[sentences] for name, each in self.memory.items()}


def generate(
    sources: Sequence[Sequence[int]],
    config: SearchConfig,
    *,
    encoder: Session,
    decoder: Session,
    model: ModelConfig,
    batch_tokens: int = 4096,
) -> list[list[Hypothesis]]:
    """Each source's hypotheses, the best first, up to `config.nbest` of them: `weft.generate.batches.generate` in numpy.

    A batch holds `batch_tokens` source tokens at the most, padding included. A sampled output depends on the model, the
    source, the configuration and its number among the `nbest` alone, but for rounding.
    """
    check_words(model, config)
    found: list[list[Hypothesis]] = [[] for _ in sources]
    for batch in _batches(sources, config, tokens=batch_tokens):
        read = [sources[index] for index, _ in batch]
        results = search(
            Seq2SeqPredictor(encoder, decoder, sources=_padded(read, model.special.pad), model=model),
            config,
            model.special,
            limits=[min(config.limit(len(source)), model.max_length) for source in read],
            seeds=[(sample, *sources[index]) for index, sample in batch],
        )
        for (index, _), hypotheses in zip(batch, results, strict=True):
            found[index] += hypotheses
    return [sorted(hypotheses, key=lambda each: -each.score) for hypotheses in found]


def _batches(
    sources: Sequence[Sequence[int]], config: SearchConfig, *, tokens: int
) -> Iterator[list[tuple[int, int]]]:
    """Indices of sources, each with the number of its sample: the longest first, for if they fit into memory, all do.

    Where the end is forced, only sources with the same maximum length share a batch.
    """
    for index, source in enumerate(sources):
        if not source:
            raise UserError(f"source {index} has no tokens, not even an end token")
    order = sorted(range(len(sources)), key=lambda index: -len(sources[index]))
    for _, group in groupby(order, key=lambda index: config.force_end and config.limit(len(sources[index]))):
        rows = _samples(group, config)
        while rows:
            count = max(1, tokens // len(sources[rows[0][0]]))
            yield rows[:count]
            del rows[:count]


def _samples(indices: Iterator[int], config: SearchConfig) -> list[tuple[int, int]]:
    """As many rows of each text as are drawn, with their numbers."""
    return [(index, sample) for index in indices for sample in range(config.nbest if config.sample else 1)]


def _padded(sources: Sequence[Sequence[int]], pad: int) -> Ints:
    """The sources (M, S), padded to the length of the longest."""
    rows = np.full((len(sources), max(map(len, sources))), pad)
    for row, source in zip(rows, sources, strict=True):
        row[: len(source)] = source
    return rows


def continue_prompts(
    prompts: Sequence[Sequence[int]],
    config: SearchConfig,
    *,
    decoder: Session,
    model: ModelConfig,
    processors: Sequence[Processor] = (),
    tell: Callable[[int], None] | None = None,
) -> list[list[Hypothesis]]:
    """What may follow each prompt, the best first: `weft.generate.prompts.continue_prompts` in numpy.

    `config.max_length` counts new tokens: without it there are 100, or as many as the model takes after the prompt.
    Prompts of one length are read together, so that nothing is padded. `tell` hears the tokens of a single prompt one by
    one. Raises UserError for a prompt that, with the tokens to be written, is longer than the model takes.
    """
    check_words(model, config)
    for number, prompt in enumerate(prompts):
        _check_length(number, len(prompt), limit=config.max_length or 1, room=model.max_length)
    found: list[list[Hypothesis]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    for length, group in groupby(order, key=lambda number: len(prompts[number])):
        rows = _samples(group, config)
        for start in range(0, len(rows), ROWS):
            part = rows[start : start + ROWS]
            tokens = np.array([list(prompts[number]) for number, _ in part])
            results = search(
                DecoderPredictor(decoder, tokens, model=model),
                config,
                model.special,
                limits=[config.max_length or min(TOKENS, model.max_length - length)] * len(part),
                seeds=[(sample, *prompts[number]) for number, sample in part],
                prompts=tokens,
                processors=processors,
                tell=tell,
            )
            for (number, _), hypotheses in zip(part, results, strict=True):
                found[number] += hypotheses
    return [sorted(hypotheses, key=lambda each: -each.score) for hypotheses in found]


def _check_length(number: int, length: int, *, limit: int, room: int) -> None:
    if not length:
        raise UserError(f"prompt {number} has no tokens")
    if length + limit > room:
        raise UserError(
            f"a prompt of {length:,} tokens and {limit:,} to write are more than the {room:,} the model takes: "
            f"write at most {max(0, room - length):,}, or shorten the prompt"
        )
