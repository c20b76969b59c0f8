"""Every attention weight of one translation or reading, taken by taps whatever kernel the model otherwise runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from weft.models.decoder import Decoder
from weft.models.encoder import Encoder
from weft.models.seq2seq import Seq2Seq
from weft.models.transformer_xl import TransformerXL
from weft.nn import listen

__all__ = ["AttentionMaps", "as_row", "attention", "causal_attention", "self_attention", "without_dropout"]


class AttentionMaps(NamedTuple):
    """The weights of every layer and head, float32: rows are tokens that look, columns those looked at.

    Row t of `decoder` and `cross` is the step that writes target token t. The decoder's columns are what it
    has read by then: the start token, then the target without its last token.
    """

    encoder: Float[np.ndarray, "L H S S"]
    decoder: Float[np.ndarray, "N H T T"]
    cross: Float[np.ndarray, "N H T S"]
    copied: Float[np.ndarray, "1 1 T S"] | None = (
        None  # where a pointer would copy from, if the model has one
    )


@torch.inference_mode()
def attention(model: Seq2Seq, source_ids: Sequence[int], *, target_ids: Sequence[int]) -> AttentionMaps:
    """All attention weights while `model` reads `source_ids` and is made to write `target_ids`.

    One pass of the model's ordinary forward. `target_ids` is what is written, without the start token;
    whether the end token closes it is the caller's choice. Neither may be empty.
    """
    if not source_ids or not target_ids:
        raise ValueError(f"nothing to look at: {len(source_ids)} source and {len(target_ids)} target tokens")
    source = as_row(model, source_ids)
    read = as_row(model, [model.config.special.start, *target_ids][:-1])
    with without_dropout(model), listen(model) as heard:
        memory = model.encode(source)
        hidden = model.decode(read, memory)
        copied = None
        if model.pointer is not None:
            copied = model.pointer.look(hidden, memory.states, None)[None].float().cpu().numpy()
    layers, decoder_layers = model.config.encoder_layers, model.config.decoder_layers
    return AttentionMaps(
        encoder=_gather(heard, "encoder.blocks.{}.attention.weights", layers=layers),
        decoder=_gather(heard, "decoder.blocks.{}.attention.weights", layers=decoder_layers),
        cross=_gather(heard, "decoder.blocks.{}.cross.weights", layers=decoder_layers),
        copied=copied,
    )


@torch.inference_mode()
def self_attention(
    model: Encoder, ids: Sequence[int], *, segments: Sequence[int]
) -> Float[np.ndarray, "L H T T"]:
    """All attention weights while an encoder reads `ids`, of which there is one at least: one ordinary forward pass."""
    if not ids:
        raise ValueError("nothing to look at: no tokens")
    kinds = as_row(model, segments).clamp(max=max(0, model.config.segments - 1))
    with without_dropout(model), listen(model) as heard:
        model(as_row(model, ids), segments=kinds)
    return _gather(heard, "encoder.blocks.{}.attention.weights", layers=model.config.encoder_layers)


@torch.inference_mode()
def causal_attention(
    model: Decoder | TransformerXL, ids: Sequence[int]
) -> tuple[Float[np.ndarray, "L H T T"], Float[np.ndarray, "1 1 T T"] | None]:
    """All attention weights while a decoder reads `ids`, of which there is one at least, and how likely its pointer copies
    each token after each, where it has one: one ordinary forward pass, of a Transformer-XL one of a single segment.
    """
    if not ids:
        raise ValueError("nothing to look at: no tokens")
    copied = None
    with without_dropout(model), listen(model) as heard:
        if isinstance(model, TransformerXL):
            hidden, memory = model(as_row(model, ids))
            if model.pointer is not None:
                copied = model.pointer.look(hidden, memory.past)[None].float().cpu().numpy()
        else:
            model(as_row(model, ids))
    stack = "" if isinstance(model, TransformerXL) else "decoder."
    weights = _gather(heard, stack + "blocks.{}.attention.weights", layers=model.config.decoder_layers)
    return weights, copied


def as_row(model: Seq2Seq | Encoder | Decoder | TransformerXL, numbers: Sequence[int]) -> Int[Tensor, "1 T"]:
    """Numbers, one for each token, as the only row of a batch on the model's device."""
    return torch.tensor([list(numbers)], device=model.device)


def _gather(heard: dict[str, list[Tensor]], tap: str, *, layers: int) -> Float[np.ndarray, "L H T S"]:
    weights = [
        heard[tap.format(layer)][0][0] for layer in range(layers)
    ]  # the only call's only row: (H, T, S)
    return torch.stack(weights).float().cpu().numpy()


@contextmanager
def without_dropout(model: nn.Module) -> Iterator[None]:
    """While this lasts, nothing in the model is drawn at random."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
