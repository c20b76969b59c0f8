"""The encoder-decoder Transformer (Vaswani et al. 2017)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from weft.config import ModelConfig
from weft.nn.cache import KVCache
from weft.nn.embedding import Embedding
from weft.nn.initialise import initialise
from weft.nn.masks import Mask
from weft.nn.ngram_embedding import make_ngrams
from weft.nn.pointer import SourcePointer
from weft.nn.stack import Stack

__all__ = ["Memory", "Seq2Seq"]


class Memory(NamedTuple):
    """What the decoder attends to: the encoder's states, which of them are real (None: all), and of what tokens they are."""

    states: Float[Tensor, "M S D"]
    keep: Bool[Tensor, "M S"] | None
    source: Int[Tensor, "M S"]


class Seq2Seq(nn.Module):
    """Source tokens to a memory, memory and target tokens to hidden states, hidden states to logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.source_embedding = Embedding(config)
        self.target_embedding = self.source_embedding if config.tie == "three" else Embedding(config)
        self.source_ngrams, self.target_ngrams = make_ngrams(config), make_ngrams(config)
        self.encoder = Stack(config, layers=config.encoder_layers, causal=False, cross=False)
        self.decoder = Stack(config, layers=config.decoder_layers, causal=True, cross=True)
        self.output = nn.Linear(config.width, config.vocabulary, bias=config.output_bias)
        if config.tie != "none":
            self.output.weight = self.target_embedding.tokens.weight
        self.pointer = SourcePointer(config) if config.pointer else None
        initialise(self, config)

    def encode(self, source: Int[Tensor, "M S"], *, keep: Bool[Tensor, "M S"] | None = None) -> Memory:
        """Read the source. `keep` marks real tokens where rows are padded."""
        x = self.source_embedding(source)
        if self.source_ngrams is not None:
            x = x + self.source_ngrams(source)
        states = self.encoder(x, mask=Mask(keep=keep))
        return Memory(states, keep, source)

    def decode(
        self, target: Int[Tensor, "B T"], memory: Memory | list[Memory], *, cache: KVCache | None = None
    ) -> Float[Tensor, "B T D"]:
        """Hidden states of the target tokens, each of which sees the memory and the tokens up to itself.

        Each row of memory serves B / M neighbouring rows of `target`. Sources of several lengths that were read without
        padding are a memory each, one after the other. With `cache`, `target` holds the new tokens alone.
        """
        states, keep = memory[:2] if isinstance(memory, Memory) else ([each.states for each in memory], None)
        x = self.target_embedding(target)
        if self.target_ngrams is not None:
            x = x + self.target_ngrams(target, before=None if cache is None else cache.remember(target))
        out: Tensor = self.decoder(x, states, memory_keep=keep, cache=cache)
        return out

    def logits(self, hidden: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        """Scores over the vocabulary; where the model has a pointer, of what is not copied."""
        scores: Tensor = self.output(hidden)
        return scores

    def forward(
        self,
        source: Int[Tensor, "B S"],
        target: Int[Tensor, "B T"],
        *,
        source_keep: Bool[Tensor, "B S"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Hidden states for teacher forcing; the target begins with the start token.

        Padding at the target's end needs no mask: no real token sees it, and its own states are nobody's labels.
        """
        return self.decode(target, self.encode(source, keep=source_keep))

    def new_cache(self, capacity: int) -> KVCache:
        """An empty cache for `capacity` target tokens."""
        return KVCache(self.config.decoder_layers, capacity=capacity)

    @property
    def device(self) -> torch.device:
        return self.source_embedding.tokens.weight.device
