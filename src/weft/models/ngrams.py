"""A linear model on words and pairs of words, which has a vote beside a classifier's network.

On little text the two err differently: what the network finds is word order and likeness, what the linear model holds on to
are the words themselves, each with a weight of its own (Joachims 1998; Cheng et al. 2016 have both in one).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from weft.runs.tensors import load_tensors, save_tensors

__all__ = ["NGRAMS", "Ngrams", "fit_ngrams"]

NGRAMS = "ngrams.safetensors"  # in a model's folder

BUCKETS = 2**20  # that words and pairs of words fall into
STEPS = 60  # of L-BFGS, at the most
# How much the mean loss counts beside the size of the weights. With scikit-learn's C, so much divided by the number of
# texts, 5,000 questions (TREC) are told best with 3, 67,000 phrases about films (SST-2) with 0.3.
STRENGTH = 15_000.0
WORD = re.compile(r"\w+|[^\w\s]")
MIX = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ divided by the golden ratio


class Counted(NamedTuple):
    """The words and pairs of words of some texts, one text's after the other's: their buckets, 1 + log(count), and how many
    each text has.
    """

    buckets: NDArray[np.int64]
    values: NDArray[np.float32]
    sizes: NDArray[np.int64]

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.cumsum(self.sizes) - self.sizes

    def sums(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sum over each text of what its features have, (F, …) to (N, …)."""
        totals = np.zeros((len(self.sizes), *values.shape[1:]), dtype=np.float32)
        if len(full := np.flatnonzero(self.sizes)):
            totals[full] = np.add.reduceat(values, self.starts[full])
        return totals


class Ngrams(NamedTuple):
    """For the buckets (R,) that occurred in training, in their order, their inverse document frequency (R,) and weights
    (R, L); and a bias (L,).
    """

    buckets: NDArray[np.int64]
    rarity: NDArray[np.float32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    def score(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """A score for each label of each text (N, L): 1 and more speaks for it, -1 and less against."""
        counted = _count(texts)
        rows = np.minimum(np.searchsorted(self.buckets, counted.buckets), len(self.buckets) - 1)
        known = self.buckets[rows] == counted.buckets
        values = np.where(known, counted.values * self.rarity[rows], 0)
        lengths = np.sqrt(counted.sums(values**2))
        totals = counted.sums(self.weights[rows] * values[:, None])
        totals /= np.maximum(lengths, 1e-9)[:, None]
        totals += self.bias
        return totals

    def save(self, path: Path) -> None:
        """Write a file of safetensors."""
        save_tensors(path, {name: torch.from_numpy(array) for name, array in self._asdict().items()})

    @classmethod
    def load(cls, path: Path, *, rows: int, labels: int) -> "Ngrams":
        """Read a file; a UserError tells of one that is not of so many buckets and labels."""
        tensors = load_tensors(
            path, {"buckets": [rows], "rarity": [rows], "weights": [rows, labels], "bias": [labels]}
        )
        return cls(**{name: tensor.numpy() for name, tensor in tensors.items()})


def fit_ngrams(
    texts: Sequence[str], targets: NDArray[np.float32], *, importance: NDArray[np.float32] | None = None
) -> Ngrams:
    """Weights that tell each label from the rest: a linear support vector machine with squared hinge loss (Fan et al. 2008),
    on the tf-idf of a text, which has length 1.

    `targets` (N, L) are 1 for a text's labels and 0 for others. `importance` (N,) is how much each example counts, 1 unless
    it is said.
    """
    counted = _count(texts)
    buckets, rows = np.unique(counted.buckets, return_inverse=True)
    rarity = (np.log((1 + len(texts)) / (1 + np.bincount(rows))) + 1).astype(np.float32)
    tfidf = counted.values * rarity[rows]
    tfidf /= np.repeat(np.sqrt(counted.sums(tfidf**2)), counted.sizes)
    values, where, starts = (torch.from_numpy(array) for array in (tfidf, rows, counted.starts))
    signs = torch.from_numpy(targets) * 2 - 1
    counts = torch.ones(len(texts), 1) if importance is None else torch.from_numpy(importance)[:, None]
    weights = torch.zeros(len(buckets), targets.shape[1], requires_grad=True)
    bias = torch.zeros(targets.shape[1], requires_grad=True)
    solver = torch.optim.LBFGS([weights, bias], max_iter=STEPS, history_size=6, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        scores = (
            functional.embedding_bag(where, weights, starts, mode="sum", per_sample_weights=values) + bias
        )
        losses = (1 - signs * scores).clamp(min=0).square() * counts
        total = STRENGTH * losses.mean(0).sum() + weights.square().sum() / 2
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
    return Ngrams(buckets, rarity, weights.detach().numpy(), bias.detach().numpy())


def _count(texts: Sequence[str]) -> Counted:
    hashes: dict[str, int] = {}
    buckets, values, sizes = [], [], []
    for text in texts:
        words = WORD.findall(text.lower())
        for word in words:
            if word not in hashes:
                hashes[word] = crc32(word.encode())
        single = np.array([hashes[word] for word in words], dtype=np.uint64)
        pairs = (single[:-1] * MIX + single[1:]) * MIX >> np.uint64(32)
        found, counts = np.unique(np.concatenate([single, pairs]) % np.uint64(BUCKETS), return_counts=True)
        buckets.append(found.astype(np.int64))
        values.append(1 + np.log(counts))
        sizes.append(len(found))
    none = np.array([], dtype=np.int64)
    return Counted(
        np.concatenate([none, *buckets]),
        np.concatenate([none, *values], dtype=np.float32),
        np.array(sizes, dtype=np.int64),
    )
