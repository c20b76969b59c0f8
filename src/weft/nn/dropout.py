"""Dropout whose mask is drawn fast: on a CPU, PyTorch's own spends most of its time drawing random floats."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Dropout", "drop"]


class _DropoutByBits(torch.autograd.Function):
    """Dropout from 16 random bits an element, so that a rate is met to 1/65,536."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rate: float) -> Tensor:
        words = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None)  # all 64 bits, in the generator's order
        bits = words.view(torch.int16)[: x.numel()].view(x.shape)
        scale = (bits >= round(rate * 65536) - 32768).to(x.dtype).mul_(1 / (1 - rate))
        ctx.save_for_backward(scale)
        return x * scale

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (scale,) = ctx.saved_tensors
        return gradient * scale, None


def drop(x: Tensor, rate: float) -> Tensor:
    """Zero each number with probability `rate`, and scale the rest by 1 / (1 - rate) (Srivastava et al. 2014)."""
    if rate == 0.0:
        return x
    if x.device.type != "cpu":
        return functional.dropout(x, rate)
    return _DropoutByBits.apply(x, rate)  # type: ignore[no-any-return, no-untyped-call]


class Dropout(nn.Module):
    """`drop` while in training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        return drop(x, self.rate) if self.training else x

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
