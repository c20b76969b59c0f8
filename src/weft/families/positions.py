"""Tables of positions without torch, as `weft.nn.positions` computes them."""

import math

import numpy as np
from numpy.typing import NDArray

from weft.config import ModelConfig, RotaryScaling

__all__ = ["alibi_slopes", "position_table", "rotary_tables"]


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


def alibi_slopes(heads: int) -> NDArray[np.float32]:
    """How steep each head's penalty is (Press et al. 2022, section 3)."""
    whole = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / whole) for i in range(whole)]
    slopes += [2 ** (-4 * (2 * i + 1) / whole) for i in range(heads - whole)]
    return np.array(slopes, np.float32)


def rotary_tables(config: ModelConfig) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The cosines, and the sines with their signs, by which queries and keys are turned, (length, K) each."""
    rates = config.rotary_base ** (-np.arange(0, config.head_width, 2) / config.head_width)
    scaling, sharper = config.rotary_scaling, 1.0
    if scaling is not None:
        rates, sharper = _scaled(rates, scaling), scaling.attention
    angles = np.tile(np.arange(config.max_length)[:, None] * rates, (1, 2))
    signs = np.repeat([-1.0, 1.0], config.head_width // 2)
    return (np.cos(angles) * sharper).astype(np.float32), (np.sin(angles) * signs * sharper).astype(
        np.float32
    )


def _scaled(rates: NDArray[np.float64], scaling: RotaryScaling) -> NDArray[np.float64]:
    turns = scaling.original_length * rates / (2 * math.pi)
    if scaling.kind == "linear":
        return rates / scaling.factor
    if scaling.kind == "llama3":
        kept = (turns - scaling.slow) / (scaling.fast - scaling.slow)
    else:  # "yarn": a ramp over the dimensions, between those that turn `fast` and `slow` times
        step = math.log(rates[0] / rates[1])
        first, last = (
            math.log(scaling.original_length / (2 * math.pi * count)) / step
            for count in (scaling.fast, scaling.slow)
        )
        begin, end = max(0, math.floor(first)), min(2 * len(rates) - 1, math.ceil(last))
        kept = 1 - (np.arange(len(rates)) - begin) / max(0.001, end - begin)
    kept = np.clip(kept, 0, 1)
    return rates * (kept + (1 - kept) / scaling.factor)
