"""Token embeddings, and the projection back to the vocabulary that may share their matrix."""

import math

from jaxtyping import Float, Int
from torch import Tensor, nn

from weft.config import ModelConfig

__all__ = ["Embedding"]


class Embedding(nn.Module):
    """One vector for each token, scaled by √D where the configuration says so (Vaswani et al. 2017, section 3.4)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        self.scale = math.sqrt(config.width) if config.scale_embedding else 1.0

    def forward(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        vectors: Tensor = self.tokens(ids)
        return vectors * self.scale
