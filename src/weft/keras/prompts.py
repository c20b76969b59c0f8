"""Decoders go on from prompts, as one loop that TensorFlow compiles."""

from collections.abc import Callable, Sequence
from typing import Any

from keras import ops

from weft.keras.models import Decoder

__all__ = ["continue_prompts"]


def continue_prompts(
    model: Decoder,
    prompts: Any,
    lengths: Any,
    *,
    limit: Any,
    ends: Sequence[int],
    choose: Callable[[Any, Any], Any],
) -> tuple[Any, Any, Any]:
    """What follows each row of `prompts` (B, P), of which the first `lengths` (B,) tokens count: up to `limit` tokens.

    `choose` makes tokens (B,) of logits (B, V) and the place that they are for. Gives new tokens (B, L), filled up with
    padding; how many there are (B,), without the one of `ends` that a row ended by; and the mean of their log-probabilities
    (B,), that one's included. Shorter rows are ahead of longer ones: what they write, they read while those still read
    their prompts.
    """
    rows, given = ops.shape(prompts)[0], ops.shape(prompts)[1]
    pad = model.config.special.pad
    width = ops.minimum(given + limit, model.config.max_length)
    shortest = ops.min(lengths)
    logits, caches = model.step(prompts[:, :shortest], model.new_caches(rows, width))
    filling = ops.full((rows, ops.maximum(width - given, 0)), pad, dtype="int32")
    places = ops.arange(width)[None]
    state = (
        shortest,
        ops.concatenate([prompts, filling], axis=1)[:, :width],
        ops.cast(logits, "float32"),
        ops.zeros((rows,)),
        ops.zeros((rows,), "int32"),  # how many each has written, an end included
        ops.zeros((rows,), "bool"),  # rows that have ended
        caches,
    )

    def goes_on(at: Any, tokens: Any, logits: Any, totals: Any, written: Any, ended: Any, caches: Any) -> Any:
        return ops.logical_and(at < width, ops.logical_not(ops.all(_over(written, ended))))

    def _over(written: Any, ended: Any) -> Any:
        return ops.logical_or(ended, written >= limit)

    def advance(at: Any, tokens: Any, logits: Any, totals: Any, written: Any, ended: Any, caches: Any) -> Any:
        over = _over(written, ended)
        writes = ops.logical_and(at >= lengths, ops.logical_not(over))
        chosen = choose(logits, at)
        token = ops.where(writes, chosen, ops.take(tokens, at, axis=1))
        logs = ops.take_along_axis(ops.log_softmax(logits), chosen[:, None], axis=1)[:, 0]
        totals = totals + ops.where(writes, logs, 0.0)
        written = written + ops.cast(writes, "int32")
        for end in ends:
            ended = ops.logical_or(ended, ops.logical_and(writes, ops.equal(chosen, end)))
        tokens = ops.where(ops.equal(places, at), token[:, None], tokens)
        logits, caches = model.step(token[:, None], caches)
        return at + 1, tokens, ops.cast(logits, "float32"), totals, written, ended, caches

    found = ops.while_loop(goes_on, advance, state)
    tokens, totals, written, ended = found[1], found[3], found[4], found[5]
    count = written - ops.cast(ended, "int32")
    steps = ops.arange(limit)[None]
    at = ops.minimum(lengths[:, None] + steps, width - 1)
    new = ops.where(steps < count[:, None], ops.take_along_axis(tokens, at, axis=1), pad)
    return new, count, totals / ops.cast(ops.maximum(written, 1), "float32")
