"""Normalisation layers, chosen by configuration."""

from torch import nn

from weft.config import ModelConfig

__all__ = ["make_norm"]

LAYER_EPSILON = 1e-5
RMS_EPSILON = 1e-6


def make_norm(config: ModelConfig, width: int) -> nn.Module:
    """LayerNorm (Ba et al. 2016) or RMSNorm (Zhang and Sennrich 2019) over the last `width` numbers."""
    if config.norm == "rms":
        return nn.RMSNorm(width, eps=RMS_EPSILON, elementwise_affine=config.norm_scale)
    return nn.LayerNorm(width, eps=LAYER_EPSILON, elementwise_affine=config.norm_scale)
