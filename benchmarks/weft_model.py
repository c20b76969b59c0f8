"""weft at a peer's shape, on its defaults in all else."""

from benchmarks.huggingface import Shape
from weft.config import ModelConfig
from weft.recipes import preset

__all__ = ["config"]


def config(shape: Shape, *, dropout: float = 0.0) -> ModelConfig:
    """The configuration of a model with this much arithmetic."""
    return ModelConfig(
        **{**preset("medium", architecture="seq2seq")["model"], **shape._asdict(), "dropout": dropout}
    )
