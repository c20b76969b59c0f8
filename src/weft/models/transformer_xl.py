"""Transformer-XL (Dai et al. 2019): a decoder that reads a text segment by segment and remembers what it read."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from weft.config import ModelConfig
from weft.nn.adaptive import AdaptiveEmbedding, AdaptiveSoftmax
from weft.nn.dropout import Dropout
from weft.nn.feed_forward import FeedForward
from weft.nn.initialise import NORMAL_DEVIATION, initialise
from weft.nn.loss import Loss
from weft.nn.masks import Mask
from weft.nn.ngram_embedding import make_ngrams
from weft.nn.pointer import Past, PastPointer
from weft.nn.relative_attention import RelativeAttention, sinusoids
from weft.nn.stack import Residual

__all__ = ["Memory", "TransformerXL"]


class Memory(NamedTuple):
    """What came into each layer at the last positions before a segment, into which no gradient flows; and what n-grams and
    the pointer need to know of what was read.
    """

    layers: tuple[Float[Tensor, "B M D"], ...]
    past: Past

    @property
    def length(self) -> int:
        return self.layers[0].shape[1]


class Kept(NamedTuple):
    """The same for texts that are written token by token: each layer's keys and values of the positions before, and what it
    looks for at each distance.
    """

    keys: tuple[Float[Tensor, "B H M K"], ...]
    values: tuple[Float[Tensor, "B H M K"], ...]
    distances: tuple[Float[Tensor, "1 H S K"], ...]
    past: Past

    def select(self, rows: Int[Tensor, " R"]) -> "Kept":
        """What is kept of these rows, in this order."""
        keys, values = (tuple(layer[rows] for layer in layers) for layers in self[:2])
        return Kept(keys, values, self.distances, self.past.select(rows))


class TransformerXL(nn.Module):
    """Tokens and the memory of those before them to hidden states, and these to scores of the next token."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        assert config.recurrence is not None  # the configuration sees to it
        self.config = config
        self.recurrence = config.recurrence
        self.embedding = AdaptiveEmbedding(config)
        self.ngrams = make_ngrams(config)
        self.pointer = PastPointer(config) if config.recurrence.pointer else None
        shared = _biases(config) if config.recurrence.shared_biases else None
        self.blocks = nn.ModuleList(
            RecurrentBlock(config, biases=shared or _biases(config)) for _ in range(config.decoder_layers)
        )
        self.dropout = Dropout(config.dropout)
        initialise(self, config)
        for module in self.modules():
            if config.zero_output and isinstance(module, RelativeAttention):
                nn.init.zeros_(module.output.weight)
        self.output = AdaptiveSoftmax(config, embedding=self.embedding)

    def forward(
        self, ids: Int[Tensor, "B T"], memory: Memory | None = None, *, remember: int | None = None
    ) -> tuple[Float[Tensor, "B T D"], Memory]:
        """The hidden states of a segment, and the memory for the segment after it.

        `memory` is that of the segments before, None at a text's beginning. It grows up to the configured length, and then
        the oldest positions are forgotten; it costs the same however long the text. With `remember`, so many positions
        before the segment are seen: by the pointer, and by the layers no further than in training; without a pointer, by
        the layers.
        """
        reach, length = self._reaches(remember)
        memory = memory or self.new_memory(len(ids))
        keys = memory.length + ids.shape[1]
        encoded = self._distances(keys, like=memory.layers[0], further=length > self.recurrence.memory)
        window = length if self.recurrence.same_length else None
        mask = Mask(causal=True, window=window).build(ids.shape[1], keys, device=ids.device)
        x = self._embed(ids, memory.past)
        kept = []
        for block, before in zip(self.blocks, memory.layers, strict=True):
            kept.append(torch.cat([before, x.detach()], dim=1)[:, -length:])
            x = block(x, before, distances=encoded, mask=mask)
        x = self.dropout(x)
        return x, Memory(tuple(kept), self._join(memory.past, self._read(ids, x), reach=reach))

    def _reaches(self, remember: int | None) -> tuple[int, int]:
        """How many positions before a segment the pointer sees, and how many the layers see."""
        pointer, memory = self.recurrence.pointer, self.recurrence.memory
        if remember is None:
            return pointer, memory
        return remember, min(remember, memory) if pointer else remember

    def after(self, memory: Memory, segment: Memory) -> Memory:
        """The memory of a text whose last segment was read by itself, as if nothing had stood before it."""
        reach, length = self._reaches(None)
        layers = (torch.cat(pair, dim=1) for pair in zip(memory.layers, segment.layers, strict=True))
        past = self._join(memory.past, segment.past, reach=reach)
        return Memory(tuple(layer[:, -length:] for layer in layers), past)

    def keep(self, memory: Memory) -> Kept:
        """What `next` needs of a memory."""
        distances = self._distances(self._seen, like=memory.layers[0])
        first = max(0, memory.length - self._seen + 1)
        blocks = self._blocks
        pairs = [
            block.attention.read(block.attention_residual.before(before[:, first:]))
            for block, before in zip(blocks, memory.layers, strict=True)
        ]
        keys, values = zip(*pairs, strict=True)
        projected = tuple(block.attention.project(distances) for block in blocks)
        return Kept(keys, values, projected, memory.past)

    def next(self, ids: Int[Tensor, "B 1"], kept: Kept) -> tuple[Float[Tensor, "B 1 D"], Kept]:
        """As `forward` on a segment of one token, at the cost of that token alone."""
        x = self._embed(ids, kept.past)
        keys, values = [], []
        for block, k, v, r in zip(self._blocks, kept.keys, kept.values, kept.distances, strict=True):
            x, key, value = block.next(x, k, v, r)
            keys.append(key[:, :, max(0, key.shape[2] - self._seen + 1) :])
            values.append(value[:, :, max(0, value.shape[2] - self._seen + 1) :])
        x = self.dropout(x)
        past = self._join(kept.past, self._read(ids, x), reach=self.recurrence.pointer)
        return x, Kept(tuple(keys), tuple(values), kept.distances, past)

    def _embed(self, ids: Int[Tensor, "B T"], past: Past) -> Float[Tensor, "B T D"]:
        """The tokens' vectors, which what stands before them may be part of."""
        x = self.embedding(ids)
        if self.ngrams is not None:
            x = x + self.ngrams(ids, before=past.tokens)
        embedded: Tensor = self.dropout(x)
        return embedded

    def _read(self, ids: Int[Tensor, "B T"], hidden: Float[Tensor, "B T D"]) -> Past:
        """What is to be known of tokens that were read."""
        if self.pointer is None:
            return Past(ids, hidden.new_empty(len(ids), 0, self.config.head_width))
        return Past(ids, self.pointer.key(hidden).detach())

    def _join(self, past: Past, new: Past, *, reach: int) -> Past:
        """Both together, without what is no longer needed: the pointer sees `reach` positions before the new ones."""
        keys = torch.cat([past.keys[:, max(0, past.keys.shape[1] - reach) :], new.keys], dim=1)
        tokens = torch.cat([past.tokens, new.tokens], dim=1)
        longest = 1 if self.ngrams is None else self.ngrams.longest
        forgotten = max(0, tokens.shape[1] - max(longest - 1, keys.shape[1]))
        return Past(tokens[:, forgotten:], keys)

    @property
    def _blocks(self) -> list["RecurrentBlock"]:
        return [block for block in self.blocks if isinstance(block, RecurrentBlock)]

    @property
    def _seen(self) -> int:
        """How many positions a token sees, itself included."""
        return self.recurrence.memory + (not self.recurrence.same_length)

    def _distances(self, count: int, *, like: Tensor, further: bool = False) -> Float[Tensor, "S D"]:
        """Those of so many positions, from the furthest to 0, encoded. Where they go further than in training, those that
        were never met are as the furthest that always was.
        """
        most = self.recurrence.clamp or (self.recurrence.memory if further else count)
        every = torch.arange(count - 1, -1, -1, device=like.device).clamp(max=most)
        encoded: Tensor = self.dropout(sinusoids(every, width=self.config.width).to(like.dtype))
        return encoded

    def new_memory(self, rows: int) -> Memory:
        """That of texts which have not begun."""
        weight = next(self.parameters())
        empty = torch.empty(rows, 0, self.config.width, dtype=weight.dtype, device=weight.device)
        no_keys = torch.empty(rows, 0, self.config.head_width, dtype=weight.dtype, device=weight.device)
        past = Past(torch.empty(rows, 0, dtype=torch.long, device=weight.device), no_keys)
        return Memory((empty,) * self.config.decoder_layers, past)

    def logits(self, hidden: Float[Tensor, "*N D"], past: Past | None = None) -> Float[Tensor, "*N V"]:
        """Scores over the vocabulary, which of an adaptive one, or with a pointer, are log-probabilities.

        A pointer needs the states to be (B, D), the last of each row, and `past` that of the memory that came with them.
        """
        scores: Tensor = self.output(hidden)
        if self.pointer is None:
            return scores
        assert past is not None
        return self.pointer.mix(hidden, scores, past=past)

    def loss(self, hidden: Float[Tensor, "B T D"], labels: Int[Tensor, "B T"], past: Past) -> Loss:
        """The summed cross-entropy of the labels in nats, for training."""
        if self.pointer is None:
            return self.output.loss(hidden.flatten(0, 1), labels.flatten())
        return Loss(self.token_losses(hidden, labels, past).sum(), labels.numel())

    def token_losses(
        self, hidden: Float[Tensor, "B T D"], labels: Int[Tensor, "B T"], past: Past
    ) -> Float[Tensor, "B T"]:
        """The negative log-likelihood of each label in nats."""
        losses = self.output.token_losses(hidden.flatten(0, 1), labels.flatten()).view(labels.shape)
        if self.pointer is None:
            return losses
        return self.pointer.token_losses(hidden, labels, written=-losses, past=past)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device


class RecurrentBlock(nn.Module):
    """Attention to a segment and the memory before it, and the feed-forward layer, each with its residual."""

    def __init__(self, config: ModelConfig, *, biases: tuple[nn.Parameter, nn.Parameter]) -> None:
        super().__init__()
        content, distance = biases
        self.attention = RelativeAttention(config, content_bias=content, distance_bias=distance)
        self.attention_residual = Residual(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_residual = Residual(config)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        memory: Float[Tensor, "B M D"],
        *,
        distances: Float[Tensor, "S D"],
        mask: Bool[Tensor, "1 1 #T S"] | None,
    ) -> Float[Tensor, "B T D"]:
        past: Tensor = self.attention_residual.before(
            memory
        )  # where norms come before, memory is normalised, too
        x = self.attention_residual(x, lambda y: self.attention(y, past, distances=distances, mask=mask))
        out: Tensor = self.feed_forward_residual(x, self.feed_forward)
        return out

    def next(
        self,
        x: Float[Tensor, "B 1 D"],
        keys: Float[Tensor, "B H M K"],
        values: Float[Tensor, "B H M K"],
        distances: Float[Tensor, "1 H S K"],
    ) -> tuple[Float[Tensor, "B 1 D"], Float[Tensor, "B H N K"], Float[Tensor, "B H N K"]]:
        """One more token, and the keys and values with its own."""
        every = [keys, values]

        def look(y: Tensor) -> Tensor:
            every[:] = (
                torch.cat([old, new], dim=2) for old, new in zip(every, self.attention.read(y), strict=True)
            )
            k, v = every
            return self.attention.look(y, k, v, distances[:, :, distances.shape[2] - k.shape[2] :])

        x = self.attention_residual(x, look)
        return self.feed_forward_residual(x, self.feed_forward), *every


def _biases(config: ModelConfig) -> tuple[nn.Parameter, nn.Parameter]:
    """u and v (Dai et al. 2019, section 3.3), each (H, K)."""
    content, distance = torch.empty(2, config.heads, config.head_width).normal_(std=NORMAL_DEVIATION)
    return nn.Parameter(content), nn.Parameter(distance.clone())
