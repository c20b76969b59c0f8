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
from numpy.typing import NDArray
from safetensors.numpy import save_file

from weft.config import ClassifierConfig, FolderConfig
from weft.runs.tensor_files import check_tensors, read_arrays

__all__ = ["NGRAMS", "Ngrams", "load_ngrams"]

NGRAMS = "ngrams.safetensors"  # in a model's folder

BUCKETS = 2**20  # that words and pairs of words fall into
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
        counted = count(texts)
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
        save_file(self._asdict(), path)

    @classmethod
    def load(cls, path: Path, *, rows: int, labels: int) -> "Ngrams":
        """Read a file; a UserError tells of one that is not of so many buckets and labels."""
        check_tensors(
            path, {"buckets": [rows], "rarity": [rows], "weights": [rows, labels], "bias": [labels]}
        )
        return cls(**read_arrays(path))


def count(texts: Sequence[str]) -> Counted:
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


def load_ngrams(folder: Path, config: FolderConfig) -> Ngrams | None:
    """The linear model that votes beside a classifier's network, where there is one."""
    if not isinstance(config, ClassifierConfig) or not config.ngrams:
        return None
    return Ngrams.load(folder / NGRAMS, rows=config.ngrams, labels=len(config.labels))
