"""How well a decoder on ONNX Runtime predicts a text: `weft.tasks.perplexity` in numpy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weft.config import ModelConfig
from weft.interchange.numpy_scores import log_softmax
from weft.interchange.onnx_predictors import nothing_read

__all__ = ["token_losses"]


def token_losses(
    ids: Sequence[int], *, decoder: Any, model: ModelConfig, length: int, stride: int
) -> NDArray[np.float32]:
    """The negative log-likelihood of each token but the first, in nats (N - 1,).

    Windows of `length` tokens are read, each `stride` further than the one before, and each token counts in the first
    window that predicts it (Baevski and Auli 2019, section 5.2).
    """
    losses = np.empty(len(ids) - 1, np.float32)
    past = {f"past.{name}": each for name, each in nothing_read(model, rows=1).items()}
    done = 0
    for start in range(0, max(1, len(losses) - length + stride) if len(losses) else 0, stride):
        row = np.array([ids[start : start + length + 1]])
        labels = row[0, 1 + done - start :]
        given = {"ids": row[:, :-1], "scored": np.array([len(labels)]), **past}
        (logits,) = decoder.run(["logits"], given)
        found = np.take_along_axis(log_softmax(logits[0]), labels[:, None], axis=1)[:, 0]
        losses[done : done + len(found)] = -found
        done += len(found)
    return losses
