"""The peer Hugging Face transformers, reading: BERT, pretrained by a plain loop and read with in sorted batches."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import BertConfig, BertForMaskedLM, BertModel

from benchmarks.huggingface import Way
from benchmarks.machine import fast_dtypes, matmul_precision, seconds_of
from benchmarks.multi30k import PAD, pad

__all__ = [
    "ROWS",
    "MaskedBatch",
    "MaskedTraining",
    "Shape",
    "fastest_reading",
    "fastest_training",
    "make_reader",
    "read",
    "sorted_batches",
]

IGNORED = -100  # the label of a token that is not asked for
ROWS = (4, 8, 16, 32)
"""How many texts of about one length are worth trying in a batch."""


class Shape(NamedTuple):
    """What decides the arithmetic of an encoder."""

    vocabulary: int
    width: int
    feed_forward: int
    heads: int
    encoder_layers: int

    def __str__(self) -> str:
        layers = f"{self.encoder_layers} layers of {self.width}, {self.heads} heads"
        return f"{layers}, feed-forward {self.feed_forward}, V {self.vocabulary}"


class MaskedBatch(NamedTuple):
    """Rows with tokens hidden, and what stood there; -100 where nothing is asked."""

    ids: Tensor  # (B, T)
    labels: Tensor  # (B, T)

    @property
    def tokens(self) -> int:
        """How many tokens are no padding."""
        return int((self.ids != PAD).sum())


class MaskedTraining:
    """A BertForMaskedLM with its optimizer: its own loss, fused AdamW, clipped gradients."""

    def __init__(self, shape: Shape, *, dropout: float, way: Way, rate: float) -> None:
        self.way = way
        self.model = BertForMaskedLM(_config(shape, dropout=dropout, attention=way.attention)).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.01, fused=True)

    def __str__(self) -> str:
        return f"{self.way}, fused AdamW, documents of a row not kept apart"

    def step(self, batch: MaskedBatch) -> float:
        """One step of optimisation; gives the loss per hidden token."""
        keep = batch.ids != PAD
        with matmul_precision("medium"):
            self.optimizer.zero_grad(set_to_none=True)
            with self._autocast():
                # Without a mask it has no mask to apply.
                mask = None if bool(keep.all()) else keep
                loss = self.model(input_ids=batch.ids, attention_mask=mask, labels=batch.labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
            self.optimizer.step()
        return float(loss.detach())

    def _autocast(self) -> AbstractContextManager[object]:
        wanted = self.way.dtype == torch.bfloat16
        return torch.autocast("cpu", dtype=torch.bfloat16) if wanted else nullcontext()


def fastest_training(shape: Shape, batch: MaskedBatch, *, dropout: float) -> Way:
    """The fastest way of a training step on this machine, by a small timing."""
    ways = [Way(dtype, attention) for dtype in fast_dtypes() for attention in ("sdpa", "eager")]
    seconds = {}
    for way in ways:
        training = MaskedTraining(shape, dropout=dropout, way=way, rate=1e-4)
        seconds[way] = seconds_of(partial(training.step, batch), times=1)
    return min(ways, key=lambda way: seconds[way])


def make_reader(shape: Shape, *, way: Way) -> BertModel:
    """A BertModel with random weights, the same ones each time."""
    torch.manual_seed(0)
    model = BertModel(_config(shape, dropout=0.0, attention=way.attention), add_pooling_layer=False)
    return model.to(way.dtype).eval()


def read(model: nn.Module, texts: Sequence[Sequence[int]], *, rows: int) -> NDArray[np.float32]:
    """The mean of each text's hidden states (N, D), in the texts' order; so many at a time, the longest first."""
    vectors = torch.empty(len(texts), model.config.hidden_size)
    with torch.inference_mode(), matmul_precision("medium"):
        for chosen, ids in sorted_batches(texts, rows=rows):
            keep = ids != PAD
            states = model(input_ids=ids, attention_mask=keep).last_hidden_state.float()
            vectors[chosen] = (states * keep[..., None]).sum(1) / keep.sum(1, keepdim=True)
    found: NDArray[np.float32] = vectors.numpy()
    return found


def sorted_batches(texts: Sequence[Sequence[int]], *, rows: int) -> list[tuple[list[int], Tensor]]:
    """Texts of about one length together, so that there is little padding: their numbers, and their tokens (B, T)."""
    order = sorted(range(len(texts)), key=lambda number: -len(texts[number]))
    groups = [order[first : first + rows] for first in range(0, len(order), rows)]
    return [(group, pad([texts[number] for number in group])) for group in groups]


def fastest_reading(shape: Shape, texts: Sequence[Sequence[int]]) -> tuple[Callable[[], object], str]:
    """The fastest way of reading the texts, of number formats, attention kernels and then batches; and its name."""
    readers = {
        way: make_reader(shape, way=way)
        for way in (Way(dtype, kernel) for dtype in fast_dtypes() for kernel in ("sdpa", "eager"))
    }
    some = texts[:: max(1, len(texts) // ROWS[-1])]
    way = min(readers, key=lambda way: seconds_of(partial(read, readers[way], some, rows=ROWS[1]), times=1))
    ways = {rows: partial(read, readers[way], texts, rows=rows) for rows in ROWS}
    rows = min(ways, key=lambda rows: seconds_of(ways[rows], times=1))
    return ways[rows], f"{way}, sorted, {rows} texts a batch"


def _config(shape: Shape, *, dropout: float, attention: str) -> BertConfig:
    return BertConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.encoder_layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.feed_forward,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        pad_token_id=PAD,
        attn_implementation=attention,
    )
