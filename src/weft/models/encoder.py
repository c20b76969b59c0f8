"""The encoder: BERT (Devlin et al. 2019), RoBERTa (Liu et al. 2019) and weft's own, by configuration."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from weft.config import HeadName, ModelConfig
from weft.nn.embedding import Embedding
from weft.nn.heads import MaskedHead, Pooling, make_head, pool
from weft.nn.initialise import initialise
from weft.nn.masks import Mask
from weft.nn.stack import Stack

__all__ = ["Encoder"]


class Encoder(nn.Module):
    """Tokens to hidden states, and these to what its heads are asked.

    `heads` names the heads there are, `labels` is how many a classifier or a tagger tells apart, and `pooling` says how
    the tokens of a row become one vector.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        heads: Sequence[HeadName] = (),
        labels: int = 0,
        pooling: Pooling = "first",
    ) -> None:
        super().__init__()
        self.config = config
        self.labels = labels
        self.pooling = pooling
        self.embedding = Embedding(config)
        self.segments = nn.Embedding(config.segments, config.width) if config.segments else None
        self.encoder = Stack(config, layers=config.encoder_layers, causal=False, cross=False)
        self.heads = nn.ModuleDict({name: make_head(name, config, labels=labels) for name in heads})
        if "masked" in self.heads and config.tie != "none":
            self.masked.output.weight = self.embedding.tokens.weight
        initialise(self, config)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        segments: Int[Tensor, "B T"] | None = None,
        mask: Mask | None = None,
        positions: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Hidden states. `segments` tells a pair's texts apart, and is 0 throughout where it is left out.

        `mask` is what may see what (by default all), `positions` where a row's tokens stand if they do not simply follow
        each other (packed documents).
        """
        x = self.embedding(ids)
        if self.segments is not None:
            x = x + self.segments(torch.zeros_like(ids) if segments is None else segments)
        states: Tensor = self.encoder(x, mask=mask, positions=positions)
        return states

    def pooled(
        self, states: Float[Tensor, "B T D"], *, keep: Bool[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B D"]:
        """One vector for each row, through the pooler where there is one."""
        vector = pool(states, keep=keep, pooling=self.pooling)
        return self.heads["pooler"](vector) if "pooler" in self.heads else vector

    @property
    def masked(self) -> MaskedHead:
        """The head that says what a hidden token was."""
        head = self.heads["masked"]
        assert isinstance(head, MaskedHead)
        return head

    @property
    def device(self) -> torch.device:
        return self.embedding.tokens.weight.device
