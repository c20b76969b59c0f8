"""Masked language modelling: which tokens are hidden, and what stands in their place (Devlin et al. 2019, section 3.1)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["MASK", "MASK_RATE", "Masked", "mask_tokens"]

MASK = "<mask>"
MASK_RATE = 0.15
HIDDEN, RANDOM = 0.8, 0.1  # of the chosen tokens; the rest stay as they are


class Masked(NamedTuple):
    """What the model reads, and where it is asked what stood there."""

    tokens: Int[Tensor, "B S"]
    chosen: Bool[Tensor, "B S"]


def mask_tokens(
    tokens: Int[Tensor, "B S"], *, maskable: Bool[Tensor, "B S"], mask_id: int, vocabulary: int
) -> Masked:
    """Choose 15 % of the maskable tokens; of these 80 % become the mask, 10 % a random piece, 10 % stay.

    Random pieces are those after `mask_id`, the last of the special tokens. Drawn from torch's own generator.
    """
    chance = torch.rand(tokens.shape, device=tokens.device)
    chosen = maskable & (chance < MASK_RATE)
    pieces = torch.randint_like(tokens, mask_id + 1, vocabulary)
    replaced = torch.where(chance < MASK_RATE * (HIDDEN + RANDOM), pieces, tokens)
    replaced = torch.where(chance < MASK_RATE * HIDDEN, mask_id, replaced)
    return Masked(torch.where(chosen, replaced, tokens), chosen)
