"""Label-smoothed cross-entropy fused with the vocabulary projection: logits exist a chunk at a time."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Loss", "vocabulary_loss"]

# Logits of one chunk: small enough to stay in a processor's cache, large enough for an efficient product.
CHUNK_NUMBERS = 2**21
CHUNK_NUMBERS_CUDA = 2**27


class Loss(NamedTuple):
    """A loss as the sum over valid tokens and their count, so that batches can be joined exactly."""

    total: Tensor
    count: int  # type: ignore[assignment]


class _ProjectedCrossEntropy(torch.autograd.Function):
    """The gradient is made on the way forward, while a chunk of logits is at hand."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        smoothing: float,
    ) -> Tensor:
        dtype = hidden.dtype
        typed_weight = weight.to(dtype)
        step = _chunk(hidden, weight)
        total = torch.zeros((), device=hidden.device)
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros(weight.shape, dtype=weight.dtype, device=hidden.device)
        d_bias = None if bias is None else torch.zeros_like(bias)
        off, on = smoothing / weight.shape[0], 1.0 - smoothing
        for start in range(0, len(labels), step):
            rows, label = hidden[start : start + step], labels[start : start + step, None]
            logits = (rows @ typed_weight.T).float()  # (chunk, V)
            if bias is not None:
                logits += bias
            highest = logits.amax(-1, keepdim=True)
            picked = logits.gather(-1, label)
            mean = logits.mean(-1, keepdim=True) if smoothing else picked
            gradient = logits.sub_(highest).exp_()
            sums = gradient.sum(-1, keepdim=True)
            normaliser = sums.log() + highest
            total += (normaliser - on * picked - smoothing * mean).sum()
            gradient.div_(sums)
            if smoothing:
                gradient.sub_(off)
            gradient.scatter_add_(-1, label, torch.full_like(picked, -on))
            typed = gradient.to(dtype)
            torch.mm(typed, typed_weight, out=d_hidden[start : start + step])
            if dtype == d_weight.dtype:
                d_weight.addmm_(typed.T, rows)
            else:
                d_weight += typed.T @ rows
            if d_bias is not None:
                d_bias += gradient.sum(0)
        ctx.save_for_backward(d_hidden, d_weight, d_bias)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None, None]:
        d_hidden, d_weight, d_bias = ctx.saved_tensors
        d_bias = None if d_bias is None else d_bias * gradient
        return d_hidden * gradient.to(d_hidden.dtype), d_weight * gradient, d_bias, None, None


def vocabulary_loss(
    hidden: Float[Tensor, "N D"],
    labels: Int[Tensor, " N"],
    *,
    weight: Float[Tensor, "V D"],
    bias: Float[Tensor, " V"] | None = None,
    smoothing: float = 0.0,
) -> Loss:
    """Cross-entropy in nats of the logits hidden · weightᵀ + bias, with labels smoothed uniformly over the vocabulary
    (Szegedy et al. 2016, section 7).

    Pass labelled positions alone: every row counts.
    """
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    with torch.autocast(hidden.device.type, enabled=False):
        if torch.is_grad_enabled():
            total = _ProjectedCrossEntropy.apply(hidden, weight, bias, labels, smoothing)  # type: ignore[no-untyped-call]
        else:
            typed_weight, step = weight.to(hidden.dtype), _chunk(hidden, weight)
            total = torch.zeros((), device=hidden.device)
            for rows, chosen in zip(torch.split(hidden, step), torch.split(labels, step), strict=True):
                logits = (rows @ typed_weight.T).float()  # (chunk, V)
                total += torch.nn.functional.cross_entropy(
                    logits if bias is None else logits.add_(bias),
                    chosen,
                    label_smoothing=smoothing,
                    reduction="sum",
                )
    return Loss(total, len(labels))


def _chunk(hidden: Tensor, weight: Tensor) -> int:
    """How many rows of `hidden` are given their logits together."""
    numbers = CHUNK_NUMBERS if hidden.device.type == "cpu" else CHUNK_NUMBERS_CUDA
    return max(1, numbers // weight.shape[0])
