"""Which tokens of a source an output was written from, as attention tells it."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Float

__all__ = ["alignment"]


def alignment(cross: Float[np.ndarray, "L H T S"], *, ignore: Collection[int] = ()) -> list[tuple[int, int]]:
    """For each target token the source token it most looks at, as (source, target) pairs, both from 0.

    The weights are averaged over all heads of the upper half of the layers, which suits decoders of any
    depth; Garg et al. (2019, section 4.1) take the last layer but one of six. Source positions in `ignore`
    (the end token, a language tag) are never chosen.

    >>> weights = np.array([[[[0.9, 0.1, 0.0], [0.1, 0.3, 0.6]]]])
    >>> alignment(weights)
    [(0, 0), (2, 1)]
    >>> alignment(weights, ignore=[2])
    [(0, 0), (1, 1)]
    """
    layers, _, _, sources = cross.shape
    columns = [column for column in range(sources) if column not in ignore]
    if not columns:
        return []
    best = cross[layers // 2 :].mean(axis=(0, 1))[:, columns].argmax(axis=-1)  # (T,)
    return [(columns[column], row) for row, column in enumerate(best)]
