"""Linear layers made anew for inference: joined, and with their weights laid out for the kernel that reads them."""

import copy
from collections.abc import Callable
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from weft.nn.stack import Block

__all__ = ["NARROW", "PackedLinear", "can_pack", "replace_linears"]

Module = TypeVar("Module", bound=nn.Module)

NARROW = 16
"""Outputs of a layer, a head with a few labels, say, that gains nothing by being packed."""


def replace_linears(model: Module, make: Callable[..., nn.Module], *, narrow: int = 0) -> Module:
    """A copy of `model` with what `make` makes of each linear layer of more outputs than are `narrow`; all else is shared.

    Attention to the tokens themselves gets queries, keys and values by one product, made of three layers, which changes
    no bit of any.
    """
    instead: dict[int, object] = {id(parameter): parameter for parameter in model.parameters()}
    instead |= {id(buffer): buffer for buffer in model.buffers()}
    instead |= {
        id(layer): make(layer) if layer.out_features > narrow else layer
        for layer in model.modules()
        if isinstance(layer, nn.Linear)
    }
    small = copy.deepcopy(model, instead)
    for block, plain in zip(list(small.modules()), model.modules(), strict=True):
        if isinstance(block, Block) and isinstance(plain, Block):
            own = plain.attention
            block.attention.join(make(own.query, own.key, own.value))
    return small


class PackedLinear(nn.Module):
    """x Wᵀ + b in bfloat16 on a processor, of one layer or of several one after the other.

    The weights lie as oneDNN reads them, so that they are not laid out again for each product: with one row, where reading
    them is all the work, that is half as fast again. Only for inference, like `Int8Linear`.
    """

    def __init__(self, *layers: nn.Linear) -> None:
        super().__init__()
        weight = torch.cat([layer.weight.detach().bfloat16() for layer in layers])
        self.out_features, self.in_features = weight.shape
        biases = [layer.bias.detach().bfloat16() for layer in layers if layer.bias is not None]
        self.packed: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, 1)
        self.bias = torch.cat(biases) if biases else None

    def forward(self, x: Float[Tensor, "*N I"]) -> Float[Tensor, "*N O"]:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")
        return out


def can_pack(model: nn.Module) -> bool:
    """Whether the processor that the model is on has the kernels."""
    if next(model.parameters()).device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    supported: bool = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return supported
