"""The highest scores of a vocabulary, found in a fraction of the time that `topk` takes."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Highest", "highest"]

COLUMNS = 800  # as fast as any number around it


class Highest(NamedTuple):
    """Each row's highest scores, in falling order, and where they stand."""

    values: Float[Tensor, "B K"]
    indices: Int[Tensor, "B K"]


def highest(scores: Float[Tensor, "B V"], count: int) -> Highest:
    """The `count` highest scores of each row.

    The row is laid out in columns. The highest scores stand in the columns with the highest maxima, as many as there
    are scores to find, and maxima of columns are found at the speed of memory.
    """
    lines = scores.shape[1] // COLUMNS
    if lines < 2 or count > COLUMNS // 2:
        return Highest(*scores.topk(count))
    grid = scores[:, : lines * COLUMNS].view(-1, lines, COLUMNS)
    columns = grid.amax(1).topk(count, sorted=False).indices[:, None]  # (B, 1, count)
    values = grid.gather(2, columns.expand(-1, lines, -1)).flatten(1)
    places = columns + torch.arange(0, lines * COLUMNS, COLUMNS, device=scores.device)[:, None]
    rest = torch.arange(lines * COLUMNS, scores.shape[1], device=scores.device).expand(len(scores), -1)
    values, best = torch.cat((values, scores[:, lines * COLUMNS :]), 1).topk(count)
    return Highest(values, torch.cat((places.flatten(1), rest), 1).gather(1, best))
