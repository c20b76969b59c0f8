"""The papers' initialisations."""

from torch import nn

from weft.config import ModelConfig
from weft.nn.attention import Attention
from weft.nn.embedding import Embedding
from weft.nn.feed_forward import FeedForward
from weft.nn.ngram_embedding import NgramEmbedding
from weft.nn.pointer import SELDOM, Pointer

__all__ = ["initialise"]

NORMAL_DEVIATION = 0.02


def initialise(model: nn.Module, config: ModelConfig) -> None:
    """Draw all weights anew from PyTorch's global generator.

    "xavier": Glorot and Bengio 2010 for matrices and a deviation of 1/√D for embeddings, as the reference code of
    Vaswani et al. has it. "normal": a deviation of 0.02 throughout (Devlin et al. 2019). `zero_output` starts every
    residual branch at zero (Zhang et al. 2019, section 3), so that a deep stack begins as the identity.
    """
    normal = config.initialisation == "normal"
    for module in model.modules():
        if isinstance(module, nn.Linear):
            if normal:
                nn.init.normal_(module.weight, std=NORMAL_DEVIATION)
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=NORMAL_DEVIATION)
    for module in model.modules():
        if isinstance(module, Embedding):  # last, since the output projection may share the matrix
            nn.init.normal_(module.tokens.weight, std=NORMAL_DEVIATION if normal else config.width**-0.5)
        if isinstance(module, Pointer):
            nn.init.constant_(module.gate.bias, SELDOM)
        if isinstance(module, NgramEmbedding):
            nn.init.zeros_(module.table.weight)
        if config.zero_output and isinstance(module, Attention):
            nn.init.zeros_(module.output.weight)
        if config.zero_output and isinstance(module, FeedForward):
            nn.init.zeros_(module.down.weight)
