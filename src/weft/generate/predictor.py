"""What the search asks of a model: the scores of the next token, for rows that it may reorder and drop."""

from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from weft.models.seq2seq import Memory, Seq2Seq

__all__ = ["Predictor", "Seq2SeqPredictor"]


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
    """An encoder-decoder model that has read a batch of sources of one length, so that nothing is padded."""

    def __init__(self, model: Seq2Seq, source: Int[Tensor, "M S"], *, capacity: int) -> None:
        self.model = model
        self.memory = model.encode(source)
        self.cache = model.new_cache(capacity)

    def predict(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B V"]:
        """Decode the new tokens."""
        hidden = self.model.decode(tokens, self.memory, cache=self.cache)
        return self.model.logits(hidden[:, -1])

    def reorder(self, rows: Int[Tensor, " R"]) -> None:
        """Move the cached keys and values; the memory's stay, since no row leaves its sentence."""
        self.cache.reorder(rows)

    def keep(self, sentences: Int[Tensor, " M"]) -> None:
        """Drop the memory of the others."""
        self.memory = Memory(self.memory.states.index_select(0, sentences), None)
        self.cache.keep_memory(sentences)
