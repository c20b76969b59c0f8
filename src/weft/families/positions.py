"""Tables of positions without torch, as `weft.nn.positions` computes them."""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["position_table"]


def position_table(kind: str, *, width: int, length: int) -> NDArray[np.float32]:
    """What is added to the embedded tokens, (length, D): "sinusoidal", "sinusoidal_halves", or "none" for zeros."""
    if kind == "none":
        return np.zeros((length, width), np.float32)
    rates = np.exp(np.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = np.arange(length)[:, None] * rates  # (length, D/2)
    both = (np.sin(angles), np.cos(angles))
    if kind == "sinusoidal_halves":
        return np.concatenate(both, axis=-1).astype(np.float32)
    return np.stack(both, axis=-1).reshape(length, width).astype(np.float32)
