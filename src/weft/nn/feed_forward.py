"""The position-wise feed-forward layer."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from weft.config import Activation, ModelConfig
from weft.nn.dropout import Dropout

__all__ = ["FeedForward"]


class _ReluSquared(torch.autograd.Function):
    """max(0, x)² and its gradient, in the precision of `x`: autocast would square in float32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        positive = functional.relu(x)
        ctx.save_for_backward(positive)
        return positive * positive

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        positive: Tensor
        (positive,) = ctx.saved_tensors
        return (gradient * positive).mul_(2)


def _relu_squared(x: Tensor) -> Tensor:
    """So et al. 2021, "Primer", section 3."""
    return _ReluSquared.apply(x)  # type: ignore[no-any-return, no-untyped-call]


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "silu": functional.silu,
    "relu_squared": _relu_squared,
}


class FeedForward(nn.Module):
    """down(f(up(x))) (Vaswani et al. 2017, section 3.3), or gated: down(f(gate(x)) · up(x)) (Shazeer 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.up = nn.Linear(config.width, config.feed_forward, bias=config.bias)
        self.gate = nn.Linear(config.width, config.feed_forward, bias=config.bias) if config.gated else None
        self.down = nn.Linear(config.feed_forward, config.width, bias=config.bias)
        self.dropout = Dropout(config.activation_dropout)

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        inner = self.up(x)  # (B, T, F)
        inner = self.activation(inner) if self.gate is None else self.activation(self.gate(x)) * inner
        out: Tensor = self.down(self.dropout(inner))
        return out
