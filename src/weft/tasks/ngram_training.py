"""Training the linear model that votes beside a classifier's network."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from weft.models.ngrams import Ngrams, count

__all__ = ["fit_ngrams"]


STEPS = 60  # of L-BFGS, at the most


# How much the mean loss counts beside the size of the weights. With scikit-learn's C, so much divided by the number of
# texts, 5,000 questions (TREC) are told best with 3, 67,000 phrases about films (SST-2) with 0.3.
STRENGTH = 15_000.0


def fit_ngrams(
    texts: Sequence[str], targets: NDArray[np.float32], *, importance: NDArray[np.float32] | None = None
) -> Ngrams:
    """Weights that tell each label from the rest: a linear support vector machine with squared hinge loss (Fan et al. 2008),
    on the tf-idf of a text, which has length 1.

    `targets` (N, L) are 1 for a text's labels and 0 for others. `importance` (N,) is how much each example counts, 1 unless
    it is said.
    """
    counted = count(texts)
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
