"""The precision that a trained model is used in."""

from typing import Literal, TypeVar, get_args

import torch
from torch import nn

from weft.errors import UserError, suggest
from weft.nn.int8 import has_int8, quantize
from weft.nn.linears import NARROW, PackedLinear, can_pack, replace_linears
from weft.nn.precision import fast_dtype

__all__ = ["Precision", "choose_precision", "convert"]

Precision = Literal["float32", "bfloat16", "int8"]
Module = TypeVar("Module", bound=nn.Module)

# In eight bits, models of 256 (the preset medium) write 1.2 to 1.3 times as fast, of 192 (small) 1.1 times, of 128 no
# faster: products of narrow matrices take a small part of the time.
INT8_WIDTH = 256


def choose_precision(wanted: str, *, width: int, device: torch.device) -> Precision:
    """The precision of a model this wide: the one that is `wanted`, or for "auto" the fastest that keeps the quality.

    That is int8 on an x86 processor, if the model is wide enough to gain by it; bfloat16 on a GPU that is fast in it;
    else float32. It is a rule and not a measurement, so that a model's outputs are the same each time it is loaded.
    """
    known = get_args(Precision)
    for precision in known:
        if precision == wanted:
            return precision  # type: ignore[no-any-return]
    if wanted != "auto":
        names = ("auto", *known)
        raise UserError(f'no precision "{wanted}"{suggest(wanted, names)} (there are: {", ".join(names)})')
    if device.type == "cpu" and width >= INT8_WIDTH and has_int8():
        return "int8"
    if device.type == "cuda" and fast_dtype(device.type) == torch.bfloat16:
        return "bfloat16"
    return "float32"


def convert(model: Module, precision: Precision) -> Module:
    """A float32 model in another precision, for inference; tables of positions keep theirs."""
    if precision == "int8":
        return quantize(model)
    if precision == "bfloat16":
        for parameter in model.parameters():
            parameter.data = parameter.data.bfloat16()
        return replace_linears(model, PackedLinear, narrow=NARROW) if can_pack(model) else model
    return model
