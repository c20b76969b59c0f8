"""What a step will cost, told before the first one."""

from typing import NamedTuple

from torch import nn

from weft.config import ModelConfig
from weft.recipes import training_flops

__all__ = ["Estimate", "estimate_step"]

NUMBER = 4  # bytes
COPIES = 5  # of the weights: themselves, gradients, two of an optimizer's, their average


class Estimate(NamedTuple):
    """The arithmetic of a step in FLOP and its memory in bytes, both within a factor of two."""

    flops: float
    memory: float


def estimate_step(
    model: nn.Module, config: ModelConfig, *, source: float, target: float, length: float
) -> Estimate:
    """The cost of a step over that many source and target tokens, in sentences of a mean `length` of tokens.

    Memory counts what the backward pass keeps: for each token and layer, the inputs of every product, of every norm
    and of the softmax.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    flops = training_flops(config.model_dump(), vocabulary=config.vocabulary, source=source, target=target)
    attention = 12 * config.width + 2 * config.heads * length
    inner = 3 * config.width + (4 if config.gated else 3) * config.feed_forward
    kept = source * config.encoder_layers * (attention + inner)
    kept += target * config.decoder_layers * (2 * attention + inner)
    return Estimate(flops, NUMBER * (COPIES * parameters + kept))
