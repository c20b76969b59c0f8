"""A pointer: tokens may be copied from the text so far, instead of being chosen from the vocabulary."""

import math
from typing import Any

import keras
from keras import ops

from weft.config import ModelConfig
from weft.keras.layers import OfModel, linear, register

__all__ = ["PastPointer"]

SELDOM = -2.0  # what the gate begins with: about one token in eight is copied
LOWEST = -1e9  # a score that leaves nothing


@register
class PastPointer(OfModel):
    """p(token) = (1 − g) · p(token | vocabulary) + g · what attention gives to the token's places (Merity et al. 2017; Grave
    et al. 2017).

    It copies what followed in the text itself where the model was in a state like this one, however long ago: it knows no
    distances. The attention is of one head; the gate g is a number of each state.
    """

    def __init__(self, config: ModelConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        width, begin = self.config.head_width, self.config.initialisation
        self.query = linear(width, bias=False, begin=begin, name="query", dtype=self.dtype_policy)
        self.key = linear(width, bias=False, begin=begin, name="key", dtype=self.dtype_policy)
        seldom = keras.initializers.Constant(SELDOM)
        self.gate = linear(
            1, bias=True, begin=begin, bias_initializer=seldom, name="gate", dtype=self.dtype_policy
        )

    def build(self, input_shape: Any) -> None:
        for layer in (self.query, self.key, self.gate):
            layer.build(input_shape)

    def compute_output_shape(self, input_shape: Any, *_: Any, **__: Any) -> Any:
        return (*input_shape[:-1], self.config.vocabulary)

    def call(self, states: Any, *, scores: Any, tokens: Any, keys: Any) -> Any:
        """The logarithms of the probabilities (B, T, V) of what follows the states (B, T, D), of which `scores` are those in
        the vocabulary. Of the last S tokens up to the last of the states, `keys` (B, S, K) are what the state after each is
        found by; `tokens` (B, N) are these, and maybe some before them.
        """
        count, size = ops.shape(states)[1], ops.shape(keys)[1]
        places = ops.arange(size)[None, :]
        seen = places < ops.arange(count)[:, None] + (size - count)  # (T, S)
        found = ops.matmul(self.query(states), ops.transpose(keys, (0, 2, 1)))  # (B, T, S)
        found = ops.cast(found, "float32") / math.sqrt(self.config.head_width)
        # Keras warns of a softmax over a single number, which is what a text's first token has.
        shares = ops.exp(ops.log_softmax(ops.where(seen, found, LOWEST), axis=-1))
        followed = tokens[
            :, ops.shape(tokens)[1] - size + 1 :
        ]  # what the last state is followed by is not known
        followed = ops.one_hot(ops.pad(followed, ((0, 0), (0, 1))), self.config.vocabulary, dtype="float32")
        copied = _log(ops.matmul(shares, followed))
        wanted = ops.cast(self.gate(states), "float32")  # (B, T, 1)
        wanted = ops.where(ops.any(seen, axis=-1)[:, None], wanted, LOWEST)
        written = ops.log_softmax(ops.cast(scores, "float32"), axis=-1)
        return ops.logaddexp(ops.log_sigmoid(-wanted) + written, ops.log_sigmoid(wanted) + copied)


def _log(shares: Any) -> Any:
    """`LOWEST` for what has none, so that gradients are numbers."""
    some = shares > 0
    return ops.where(some, ops.log(ops.where(some, shares, 1.0)), LOWEST)
