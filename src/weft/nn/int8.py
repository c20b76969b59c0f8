"""Linear layers in 8 bits, for decoding: several times float32's speed where few rows read many weights."""

import warnings
from typing import TypeVar

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from weft.errors import UserError
from weft.nn.linears import replace_linears

__all__ = ["Int8Linear", "has_int8", "quantize"]

Module = TypeVar("Module", bound=nn.Module)

# Without a dot product for bytes, a processor adds two products of an unsigned and a signed byte in 16 bits, and must
# not overflow: 2 · 255 · 64 < 2 ** 15. So inputs have 8 bits and weights 7, because they spread less.
WEIGHT_LEVELS = 64
INPUT_LEVELS = 127
INPUT_ZERO = 128
SMALLEST = 1e-30  # what a row of zeros is divided by


class Int8Linear(nn.Module):
    """x Wᵀ + b of one layer, or of several one after the other, with whole numbers and scales.

    Each row of W has a scale, and each row of x as it comes: its largest magnitude (Dettmers et al. 2022, section 2.1),
    so no row's output depends on its neighbours. Only for inference: there are no gradients, and nothing here is in the
    state that is saved.
    """

    def __init__(self, *layers: nn.Linear) -> None:
        super().__init__()
        weight = torch.cat([layer.weight.detach().float() for layer in layers])
        self.out_features, self.in_features = weight.shape
        biases = [layer.bias.detach().float() for layer in layers if layer.bias is not None]
        scale = weight.abs().amax(1).clamp_min(SMALLEST) / WEIGHT_LEVELS
        self.packed = _pack((weight / scale[:, None]).round().to(torch.int8), scale)
        self.bias = torch.cat(biases) if biases else None

    def forward(self, x: Float[Tensor, "*N I"]) -> Float[Tensor, "*N O"]:
        """The product, in the precision of `x`."""
        x32 = x.float()
        largest = x32.abs().amax(-1, keepdim=True).clamp_min_(SMALLEST)
        # The kernel knows one scale for all of its input: rows whose largest magnitude is 1 can share it.
        out: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            x32 / largest, 1 / INPUT_LEVELS, INPUT_ZERO, self.packed
        )
        out = out.mul_(largest) if self.bias is None else torch.addcmul(self.bias, out, largest, out=out)
        return out.to(x.dtype)


def has_int8() -> bool:
    """Whether the processor has the kernels."""
    return "fbgemm" in torch.backends.quantized.supported_engines


def quantize(model: Module) -> Module:
    """A copy of `model`, for inference, with all its linear layers in 8 bits; what is no linear layer's is shared."""
    if next(model.parameters()).device.type != "cpu" or not has_int8():
        raise UserError(
            "int8 needs a model on an x86 processor: leave the precision as it is, or decode there"
        )
    return replace_linears(model, Int8Linear)


def _pack(weight: Int8[Tensor, "O I"], scale: Float[Tensor, " O"]) -> torch.ScriptObject:
    """The weight in the kernel's own order."""
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor", category=UserWarning)
        whole = torch._make_per_channel_quantized_tensor(weight, scale, torch.zeros_like(scale).long(), 0)
    packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(whole, None)
    torch.backends.quantized.engine = before
    return packed
