"""How a model points at the ends of an answer, in training."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from weft.data.batches import collate
from weft.models.encoder import Encoder
from weft.tasks.passages import Window
from weft.tasks.reading import read_states
from weft.tasks.task import Batch

__all__ = ["collate_windows", "point"]


def collate_windows(windows: Sequence[Window], *, pad: int) -> Batch:
    """ids (B, T), segments (B, T), and the tokens which are open (B, T)."""
    columns = {
        "ids": collate([window.ids for window in windows], pad_id=pad),
        "segments": collate([window.segments for window in windows], pad_id=0),
        "open": collate([window.open for window in windows], pad_id=0).astype(bool),
    }
    return {name: torch.from_numpy(array) for name, array in columns.items()}


def point(model: Encoder, batch: Batch) -> Float[Tensor, "B T 2"]:
    """How each token scores as an answer's first one and as its last; minus infinity where it is not open.

    The head is one of float32 whatever the encoder computes in: with the eight bits of bfloat16 many spans would be equal.
    """
    states, _ = read_states(model, batch)
    with torch.autocast(states.device.type, enabled=False):
        scores: Tensor = model.heads["answer"](states.float())
    return scores.float().masked_fill(~batch["open"][..., None], -torch.inf)
