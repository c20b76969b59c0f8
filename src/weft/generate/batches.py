"""From a list of sources to each one's best outputs: in order, and independent of one another."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from weft.config import ModelConfig
from weft.errors import UserError
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.generate.loop import search
from weft.generate.predictor import Seq2SeqPredictor
from weft.models.seq2seq import Seq2Seq

__all__ = ["generate"]

# A CPU's product of float32 matrices takes four rows at a time, and a remainder of one to three by another
# kernel, which rounds otherwise: only in a multiple of four rows are a row's bits the same however many
# others there are.
SENTENCES_TOGETHER = 4


def generate(
    model: Seq2Seq, sources: Sequence[Sequence[int]], config: SearchConfig, *, batch_tokens: int = 4096
) -> list[list[Hypothesis]]:
    """Each source's hypotheses, the best first, up to `config.nbest` of them.

    Only sources of equal length share a batch, of `batch_tokens` source tokens at the most, so that nothing
    is padded and no output depends on its neighbours. A sampled output depends on the model, the source, the
    configuration and its number among the `nbest` alone: the same source twice gives the same outputs twice.
    """
    _check(model.config, config)
    samples = config.nbest if config.sample else 1
    found: list[list[Hypothesis]] = [[] for _ in sources]
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for batch in _batches(sources, samples=samples, tokens=batch_tokens):
                results = _generate_batch(
                    model, [(sources[index], sample) for index, sample in batch], config
                )
                for (index, _), hypotheses in zip(batch, results, strict=True):
                    found[index] += hypotheses
    finally:
        model.train(training)
    return [sorted(hypotheses, key=lambda each: -each.score) for hypotheses in found]


def _check(model: ModelConfig, config: SearchConfig) -> None:
    """Refuse what the model cannot do."""
    if config.max_length is not None and config.max_length > model.max_length:
        raise UserError(
            f"max_length {config.max_length} is more than the {model.max_length} tokens the model takes"
        )
    for name, words in (("banned", config.banned), ("forced", config.forced)):
        unknown = [token for word in words for token in word if not 0 <= token < model.vocabulary]
        if unknown:
            raise UserError(
                f"{name}: the model has no token {unknown[0]}, its vocabulary ends at {model.vocabulary - 1}"
            )


def _batches(
    sources: Sequence[Sequence[int]], *, samples: int, tokens: int
) -> Iterator[list[tuple[int, int]]]:
    """Indices of sources of equal length, each with the number of its sample.

    The longest come first: if they fit into memory, all do.
    """
    groups: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, source in enumerate(sources):
        if not source:
            raise UserError(f"source {index} has no tokens, not even an end token")
        groups[len(source)] += [(index, sample) for sample in range(samples)]
    for length in sorted(groups, reverse=True):
        size = max(1, tokens // length)
        for start in range(0, len(groups[length]), size):
            yield groups[length][start : start + size]


def _generate_batch(
    model: Seq2Seq, batch: list[tuple[Sequence[int], int]], config: SearchConfig
) -> list[list[Hypothesis]]:
    """Hypotheses for sources of one length."""
    filled = batch + [batch[-1]] * (-len(batch) % SENTENCES_TOGETHER)
    device = next(model.parameters()).device
    source = torch.tensor([list(tokens) for tokens, _ in filled], device=device)
    limit = min(config.limit(source.shape[1]), model.config.max_length)
    results = search(
        Seq2SeqPredictor(model, source, capacity=limit),
        config,
        model.config.special,
        sentences=len(filled),
        limit=limit,
        device=device,
        together=SENTENCES_TOGETHER,
        uniforms=_uniforms(filled, config, limit=limit).to(device) if config.sample else None,
    )
    return results[: len(batch)]


def _uniforms(
    batch: list[tuple[Sequence[int], int]], config: SearchConfig, *, limit: int
) -> Float[Tensor, "M L"]:
    """Numbers in [0, 1) that depend on nothing but the seed, the source and the sample's number."""
    rows = []
    for source, sample in batch:
        digest = hashlib.blake2b(repr((config.seed, sample, list(source))).encode(), digest_size=8).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
        rows.append(torch.rand(limit, generator=generator, dtype=torch.float64))
    return torch.stack(rows)
