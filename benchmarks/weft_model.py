"""weft at a peer's shape, on its defaults in all else."""

from benchmarks.huggingface import Shape
from weft.config import ModelConfig

__all__ = ["config"]


def config(shape: Shape, *, dropout: float = 0.0) -> ModelConfig:
    """The configuration of a model with this much arithmetic."""
    return ModelConfig(
        vocabulary=shape.vocabulary,
        width=shape.width,
        feed_forward=shape.feed_forward,
        heads=shape.heads,
        encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers,
        dropout=dropout,
    )
