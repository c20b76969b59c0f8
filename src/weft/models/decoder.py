"""The decoder: GPT (Radford et al. 2019), Llama (Touvron et al. 2023) and weft's own, by configuration."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from weft.config import ModelConfig
from weft.nn.cache import KVCache
from weft.nn.embedding import Embedding
from weft.nn.initialise import initialise
from weft.nn.masks import Mask
from weft.nn.ngram_embedding import make_ngrams
from weft.nn.stack import Stack

__all__ = ["Decoder"]


class Decoder(nn.Module):
    """Tokens to hidden states, each of which sees the tokens up to itself, and these to scores of the next token."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.ngrams = make_ngrams(config)
        self.decoder = Stack(config, layers=config.decoder_layers, causal=True, cross=False)
        self.output = nn.Linear(config.width, config.vocabulary, bias=config.output_bias)
        if config.tie != "none":
            self.output.weight = self.embedding.tokens.weight
        initialise(self, config)

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        mask: Mask | None = None,
        positions: Int[Tensor, "B T"] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Hidden states. `mask` is what may see what (by default each token those up to itself), `positions` where a
        row's tokens stand if they do not simply follow each other (packed documents). With `cache`, `ids` holds the new
        tokens alone.
        """
        x = self.embedding(ids)
        if self.ngrams is not None:
            before = None if cache is None else cache.remember(ids)
            x = x + self.ngrams(ids, before=before, positions=positions)
        states: Tensor = self.decoder(x, mask=mask, positions=positions, cache=cache)
        return states

    def logits(self, hidden: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        """Scores over the vocabulary."""
        scores: Tensor = self.output(hidden)
        return scores

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache for `capacity` tokens."""
        return KVCache(self.config.decoder_layers, capacity=capacity)

    @property
    def device(self) -> torch.device:
        return self.embedding.tokens.weight.device
