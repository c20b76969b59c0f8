"""Vectors of the last few tokens together, beside those of the last one."""

from typing import Any

import keras
from keras import ops

from weft.config import HASH_FACTOR, HASH_PRIME, ModelConfig
from weft.errors import UserError
from weft.keras.layers import Layer, arguments, register

__all__ = ["NgramEmbedding", "ngrams_of"]


@register
class NgramEmbedding(Layer):
    """The sum of one vector for each of the last two, three, … up to `longest` tokens (Huang et al. 2025, section 3.1).

    An n-gram's vector stands in a row of its length's table, of `rows`, that a hash of the tokens chooses. All begin at
    zero. In training, `dropout` leaves out whole n-grams. `NgramEmbedding(256)(ids)` is to be added to `Embedding`'s.
    """

    def __init__(
        self, width: int, *, longest: int = 5, rows: int = 16_384, dropout: float = 0.0, **kwargs: Any
    ) -> None:
        super().__init__(arguments(locals()), **kwargs)
        if longest < 2:
            raise UserError(f"longest {longest}: an n-gram has two tokens at least")
        if keras.backend.standardize_dtype(ops.zeros((), "int64").dtype) != "int64":
            raise UserError("n-grams are hashed in 64 bits, which JAX has with JAX_ENABLE_X64=1 alone")
        self.longest, self.rows = longest, rows
        self.table = keras.layers.Embedding(
            (longest - 1) * rows, width, embeddings_initializer="zeros", name="table", dtype=self.dtype_policy
        )
        self.dropout = keras.layers.Dropout(
            dropout, noise_shape=(None, None, None, 1), dtype=self.dtype_policy
        )

    def build(self, input_shape: Any) -> None:
        self.table.build(input_shape)

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return (*input_shape, self.settings["width"])

    def call(self, ids: Any, before: Any = None, training: bool | None = None) -> Any:
        """(B, T) to (B, T, D). `before` (B, P) are the tokens that stand before the first one, -1 where there are none."""
        vectors = self.table(self.find(ids, before))  # (B, T, N, D)
        return ops.sum(self.dropout(vectors, training=training), axis=2)

    def find(self, ids: Any, before: Any = None) -> Any:
        """The table's rows (B, T, N) of the n-grams that end with each token, from the pairs up."""
        length, past = ops.shape(ids)[1], self.longest - 1
        every = [ids] if before is None else [before, ids]
        numbers = ops.concatenate([ops.cast(each, "int64") for each in every], axis=1) + 1
        numbers = ops.pad(numbers, ((0, 0), (past, 0)))  # 0 stands where there is no token
        begin = ops.shape(numbers)[1] - length
        hashed, found = numbers[:, begin:], []
        for back in range(1, self.longest):
            tokens = numbers[:, begin - back : begin - back + length]
            hashed = (hashed * HASH_FACTOR + tokens) % HASH_PRIME
            found.append(hashed % self.rows + (back - 1) * self.rows)
        return ops.stack(found, axis=-1)


def ngrams_of(config: ModelConfig, **kwargs: Any) -> NgramEmbedding | None:
    """What a model knows of n-grams, if anything."""
    if config.ngrams is None or not config.knows_ngrams:
        return None
    return NgramEmbedding(config.width, **config.ngrams.model_dump(), **kwargs)
