"""How well a decoder predicts a text: in rows by themselves, in a window that slides over it, or with a memory."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from weft.models.decoder import Decoder
from weft.models.transformer_xl import TransformerXL

__all__ = ["segment_losses", "token_losses"]

TOGETHER = 8192  # tokens that are read at once
LOGITS = 2**24  # that exist at once


@torch.inference_mode()
def token_losses(
    model: Decoder, ids: Int[Tensor, " N"], *, length: int, stride: int | None = None
) -> Float[Tensor, " N-1"]:
    """The negative log-likelihood of each token but the first, in nats.

    Windows of `length` tokens are read, each `stride` further than the one before, and each token counts in the first
    window that predicts it. A stride of `length`, as without one, gives each row its own context alone; a smaller one
    gives each token `length - stride` tokens of context or more (Baevski and Auli 2019, section 5.2).
    """
    step = length if stride is None else stride
    losses = torch.empty(len(ids) - 1)
    starts = range(0, max(1, len(losses) - length + step), step) if len(losses) else []
    whole = [start for start in starts if start + length < len(ids)]
    rest = [start for start in starts if start + length >= len(ids)]
    parts = [
        whole[at : at + max(1, TOGETHER // length)] for at in range(0, len(whole), max(1, TOGETHER // length))
    ]
    for part in [*parts, *([start] for start in rest)]:
        last = min(part[0] + length, len(ids) - 1)
        rows = torch.stack([ids[start : last - part[0] + start + 1] for start in part]).to(model.device)
        found = _losses(model, rows).cpu()
        for start, row in zip(part, found, strict=True):
            new = 0 if start == 0 else length - step  # those before were predicted by the window before
            losses[start + new : start + len(row)] = row[new:]
    return losses


@torch.inference_mode()
def segment_losses(
    model: TransformerXL, ids: Int[Tensor, " N"], *, length: int, remember: int | None = None
) -> Float[Tensor, " N-1"]:
    """The negative log-likelihood of each token but the first, in nats, in segments of `length` tokens one after the other,
    each with the memory of those before (Dai et al. 2019, section 3.2).

    `remember`: so many positions, if not as many as in training.
    """
    losses, memory = torch.empty(len(ids) - 1), None
    for start in range(0, len(losses), length):
        row = ids[start : start + length + 1].to(model.device)
        hidden, memory = model(row[None, :-1], memory, remember=remember)
        losses[start : start + length] = model.token_losses(hidden, row[None, 1:], memory.past)[0].cpu()
    return losses


def _losses(model: Decoder, rows: Int[Tensor, "B T"]) -> Float[Tensor, "B T-1"]:
    states = model(rows[:, :-1]).flatten(0, 1)
    labels = rows[:, 1:].flatten()
    size = max(1, LOGITS // model.config.vocabulary)
    parts = [
        functional.cross_entropy(model.logits(some).float(), label, reduction="none")
        for some, label in zip(torch.split(states, size), torch.split(labels, size), strict=True)
    ]
    return torch.cat(parts).view(len(rows), -1)
