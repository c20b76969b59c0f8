"""From a list of sources to each one's best outputs: in order, and independent of one another."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain, groupby

import torch
from jaxtyping import Float
from torch import Tensor

from weft.errors import UserError
from weft.generate.config import SearchConfig, check_words
from weft.generate.hypothesis import Hypothesis
from weft.generate.loop import search
from weft.generate.predictor import Seq2SeqPredictor
from weft.models.seq2seq import Seq2Seq

__all__ = ["SENTENCES_TOGETHER", "generate", "make_uniforms"]

# A CPU's product of float32 matrices takes four rows at a time, and a remainder of one to three by another
# kernel, which rounds otherwise: only in a multiple of four rows are a row's bits the same however many
# others there are.
SENTENCES_TOGETHER = 4


def generate(
    model: Seq2Seq, sources: Sequence[Sequence[int]], config: SearchConfig, *, batch_tokens: int = 4096
) -> list[list[Hypothesis]]:
    """Each source's hypotheses, the best first, up to `config.nbest` of them.

    A batch holds `batch_tokens` source tokens at the most. Its sources of each length are read by themselves, so that
    nothing is padded and no output depends on its neighbours; all are written together, since a step on many rows
    takes little longer than on few. A sampled output depends on the model, the source, the configuration and its
    number among the `nbest` alone: the same source twice gives the same outputs twice.
    """
    check_words(model.config, config)
    if config.contrast:
        raise UserError("contrast: contrastive search is for language models; leave it out")
    samples = config.nbest if config.sample else 1
    found: list[list[Hypothesis]] = [[] for _ in sources]
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in _batches(sources, config, samples=samples, tokens=batch_tokens):
                results = _generate_batch(
                    model, [(sources[index], sample) for index, sample in batch], config
                )
                for (index, _), hypotheses in zip(batch, results, strict=True):
                    found[index] += hypotheses
    finally:
        model.train(training)
    return [sorted(hypotheses, key=lambda each: -each.score) for hypotheses in found]


def _batches(
    sources: Sequence[Sequence[int]], config: SearchConfig, *, samples: int, tokens: int
) -> Iterator[list[tuple[int, int]]]:
    """Indices of sources, each with the number of its sample, sorted by length.

    The longest come first: if they fit into memory, all do. Where the search forces something, only sources with the
    same maximum length share a batch.
    """
    for index, source in enumerate(sources):
        if not source:
            raise UserError(f"source {index} has no tokens, not even an end token")
    forces = bool(config.force_end or config.forced)
    batch: list[tuple[int, int]] = []
    room, limit = tokens, 0
    for index in sorted(range(len(sources)), key=lambda index: -len(sources[index])):
        length = len(sources[index])
        for sample in range(samples):
            if batch and (length > room or (forces and config.limit(length) != limit)):
                yield batch
                batch, room = [], tokens
            batch.append((index, sample))
            room, limit = room - length, config.limit(length)
    if batch:
        yield batch


def _generate_batch(
    model: Seq2Seq, batch: list[tuple[Sequence[int], int]], config: SearchConfig
) -> list[list[Hypothesis]]:
    """Hypotheses for sources that are sorted by length."""
    device = model.device
    groups = [list(group) for _, group in groupby(batch, key=lambda each: len(each[0]))]
    filled = [group + [group[-1]] * (-len(group) % SENTENCES_TOGETHER) for group in groups]
    wanted = [
        row < len(group) for group, rows in zip(groups, filled, strict=True) for row in range(len(rows))
    ]
    limits = [
        min(config.limit(len(tokens)), model.config.max_length) for rows in filled for tokens, _ in rows
    ]
    sources = [torch.tensor([list(tokens) for tokens, _ in rows], device=device) for rows in filled]
    results = search(
        Seq2SeqPredictor(model, sources, capacity=max(limits)),
        config,
        model.config.special,
        limits=limits,
        device=device,
        together=SENTENCES_TOGETHER,
        wanted=torch.tensor(wanted, device=device),
        uniforms=make_uniforms(list(chain(*filled)), config, limits=limits).to(device)
        if config.sample
        else None,
    )
    return [hypotheses for hypotheses, real in zip(results, wanted, strict=True) if real]


def make_uniforms(
    batch: list[tuple[Sequence[int], int]], config: SearchConfig, *, limits: Sequence[int]
) -> Float[Tensor, "M L"]:
    """Numbers in [0, 1), up to each row's limit, that depend on nothing but the seed, the source and the sample's number."""
    rows = torch.zeros(len(batch), max(limits), dtype=torch.float64)
    for row, (source, sample), limit in zip(rows, batch, limits, strict=True):
        digest = hashlib.blake2b(repr((config.seed, sample, list(source))).encode(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
        row[:limit] = torch.rand(limit, generator=generator, dtype=torch.float64)
    return rows
