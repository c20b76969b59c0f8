"""What the search asks of a model: the scores of the next token, for rows that it may reorder and drop."""

from collections.abc import Sequence
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from weft.models.decoder import Decoder
from weft.models.seq2seq import Seq2Seq
from weft.models.transformer_xl import Kept, Memory, TransformerXL

__all__ = ["DecoderPredictor", "Predictor", "RecurrentPredictor", "Seq2SeqPredictor"]

SEGMENT = 256  # tokens of a prompt that are read together by a model with a memory, at the most


class Predictor(Protocol):
    """Rows of tokens in, scores of each row's next token out; what was read before is remembered.

    The beams of a sentence are neighbouring rows, as many for each sentence.
    """

    def predict(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B V"]:
        """Read each row's new tokens and give the logits of the one that follows."""

    def reorder(self, rows: Int[Tensor, " R"]) -> None:
        """Go on with these rows, in this order; a row may come more than once."""

    def keep(self, sentences: Int[Tensor, " M"]) -> None:
        """Only these sentences have rows from now on."""


class Seq2SeqPredictor:
    """An encoder-decoder model that has read sources, those of each length apart, so that nothing is padded.

    The decoder's rows, of whatever source, are read together: only what attends to the sources goes length by length.
    """

    def __init__(self, model: Seq2Seq, sources: Sequence[Int[Tensor, "_ _"]], *, capacity: int) -> None:
        self.model = model
        self.memory = [model.encode(source) for source in sources]
        self.sizes = [len(source) for source in sources]
        self.cache = model.new_cache(capacity)
        self.copied = (  # of the sources that are left: what their tokens are found by, and these
            [(model.pointer.keys(memory.states), memory.source) for memory in self.memory]
            if model.pointer
            else []
        )

    def predict(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B V"]:
        """Decode the new tokens."""
        hidden = self.model.decode(tokens, self.memory, cache=self.cache)[:, -1]
        logits = self.model.logits(hidden)
        pointer = self.model.pointer
        return logits if pointer is None else pointer.mix(hidden, logits, sources=self.copied)

    def reorder(self, rows: Int[Tensor, " R"]) -> None:
        """Move the cached keys and values; the memory's stay, since no row leaves its sentence."""
        self.cache.reorder(rows)

    def keep(self, sentences: Int[Tensor, " M"]) -> None:
        """Drop the keys and values of the others' memory; the memory itself is not read again."""
        ends = torch.tensor(self.sizes).cumsum(0)
        counts = torch.searchsorted(sentences.cpu(), ends).diff(prepend=torch.tensor([0])).tolist()
        starts = (ends - torch.tensor(self.sizes)).tolist()
        rows = [part - start for part, start in zip(torch.split(sentences, counts), starts, strict=True)]
        self.cache.keep_memory(rows)
        pairs = zip(self.copied, rows, strict=False)
        self.copied = [(keys[some], source[some]) for (keys, source), some in pairs if len(some)]
        self.sizes = [count for count in counts if count]


class DecoderPredictor:
    """A decoder that goes on with prompts of one length."""

    def __init__(self, model: Decoder, prompts: Int[Tensor, "M P"], *, capacity: int) -> None:
        self.model = model
        self.prompts: Int[Tensor, "M P"] | None = prompts
        self.cache = model.new_cache(prompts.shape[1] + capacity)

    def predict(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B V"]:
        """The logits after what is read."""
        return self.score(self.read(tokens)[:, -1])

    def score(self, hidden: Float[Tensor, "B D"]) -> Float[Tensor, "B V"]:
        """The logits after the last states that were read, of the rows as they are now."""
        return self.model.logits(hidden)

    def read(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B S D"]:
        """Read the prompts, which take the place of the first start tokens, and then the new tokens."""
        new, self.prompts = (tokens if self.prompts is None else self.prompts), None
        states: Tensor = self.model(new, cache=self.cache)
        return states

    def reorder(self, rows: Int[Tensor, " R"]) -> None:
        """Move the cached keys and values."""
        self.cache.reorder(rows)

    def keep(self, sentences: Int[Tensor, " M"]) -> None:
        """Nothing is remembered by sentence."""


class RecurrentPredictor:
    """A Transformer-XL that goes on with prompts of one length, however long: what it remembers stays as large."""

    def __init__(self, model: TransformerXL, prompts: Int[Tensor, "M P"]) -> None:
        self.model = model
        self.prompts = prompts
        self.kept: Kept | None = None

    def predict(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B V"]:
        """The logits after what is read."""
        return self.score(self.read(tokens)[:, -1])

    def score(self, hidden: Float[Tensor, "B D"]) -> Float[Tensor, "B V"]:
        """The logits after the last states that were read, of the rows as they are now."""
        assert self.kept is not None  # something was read
        return self.model.logits(hidden, self.kept.past)

    def read(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B S D"]:
        """Read the prompts, which take the place of the first start tokens, segment by segment; then the new tokens."""
        if self.kept is not None:
            states, self.kept = self.model.next(tokens, self.kept)
            return states
        memory: Memory | None = None
        parts = []
        length = max(
            1, min(SEGMENT, self.model.recurrence.memory // 2)
        )  # so that distances are as in training
        for segment in torch.split(self.prompts, length, dim=1):
            states, memory = self.model(segment, memory)
            parts.append(states)
        assert memory is not None  # a prompt has a token at least
        self.kept = self.model.keep(memory)
        return torch.cat(parts, dim=1)

    def reorder(self, rows: Int[Tensor, " R"]) -> None:
        """Move what is remembered."""
        assert self.kept is not None
        self.kept = self.kept.select(rows)

    def keep(self, sentences: Int[Tensor, " M"]) -> None:
        """Nothing is remembered by sentence."""
