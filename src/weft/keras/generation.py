"""Search with cached keys and values: greedy, beam search and sampling, each as one loop that TensorFlow compiles."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from weft.config import SpecialTokens
from weft.errors import UserError, suggest
from weft.keras.models import Seq2Seq

__all__ = ["Found", "Rules", "Translator", "draw"]

NEVER = -np.inf


class Rules(NamedTuple):
    """What an output may and must hold, by the names of `weft.generate.SearchConfig`; words are sequences of tokens."""

    banned: tuple[tuple[int, ...], ...] = ()
    no_repeat_ngram: int = 0
    min_length: int = 0
    force_end: bool = False
    renormalise: bool = False


class Found(NamedTuple):
    """One output: its tokens without the start and the end token, and its score, Σ log p / length ** length_penalty."""

    tokens: list[int]
    score: float


class Translator:
    """An encoder-decoder's search. Each shape of input is compiled once, where the backend is TensorFlow."""

    def __init__(self, model: Seq2Seq) -> None:
        self.model = model
        self._run = _compiled(self.search)
        self._draw = _compiled(self._sample)

    def generate(
        self,
        sources: Sequence[Sequence[int]],
        *,
        beams: int = 1,
        max_length: int | None = None,
        length_penalty: float = 1.0,
        early_stopping: bool = False,
        **rules: Any,
    ) -> list[Found]:
        """The best output for each source, as PyTorch's side finds it with the same settings.

        Without `max_length` an output has at most twice as many tokens as its source and 50 more, or as many as the model
        takes. `rules` are `banned` words, `no_repeat_ngram`, `min_length`, `force_end` and `renormalise`.
        """
        if unknown := sorted(rules.keys() - set(Rules._fields)):
            raise UserError(f"{unknown[0]}: no rule of a search{suggest(unknown[0], Rules._fields)}")
        if beams < 1:
            raise UserError(f"beams {beams}: a search has at least one")
        if not sources:
            return []
        limits = self._limits(sources, max_length)
        read = self._padded(sources)
        tokens, scores, lengths = (
            np.asarray(each)
            for each in self._run(
                read,
                np.array(limits, np.int32),
                beams=beams,
                limit=max(limits),
                penalty=length_penalty,
                early=early_stopping,
                rules=Rules(**rules),
            )
        )
        end = self.model.config.special.end
        found = []
        for row, score, length in zip(tokens[:, 0], scores[:, 0], lengths[:, 0], strict=True):
            written = row[1 : length + 1].tolist()
            found.append(Found(written[:-1] if written[-1:] == [end] else written, float(score)))
        return found

    def sample(
        self,
        sources: Sequence[Sequence[int]],
        *,
        max_length: int | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        seed: int = 0,
    ) -> list[Found]:
        """An output drawn for each source, from the `top_k` likeliest tokens (0: all) which together have `top_p`."""
        if not temperature > 0 or not 0 < top_p <= 1 or top_k < 0:
            raise UserError(
                f"temperature {temperature}, top_k {top_k}, top_p {top_p}: above 0, from 0, and from 0 to 1"
            )
        if not sources:
            return []
        limit = max(self._limits(sources, max_length))
        uniforms = np.random.default_rng(seed).random((len(sources), limit), np.float32)
        tokens, scores = (
            np.asarray(each)
            for each in self._draw(
                self._padded(sources),
                uniforms,
                limit=limit,
                temperature=temperature,
                k=top_k or None,
                p=top_p if top_p < 1 else None,
            )
        )
        end, found = self.model.config.special.end, list[Found]()
        for row, score in zip(tokens.tolist(), scores, strict=True):
            written = row[1:]
            length = written.index(end) if end in written else len(written)
            found.append(Found(written[:length], float(score) / max(1, length + (end in written))))
        return found

    def _limits(self, sources: Sequence[Sequence[int]], max_length: int | None) -> list[int]:
        """The most tokens of each output; a UserError for what the model does not take."""
        config = self.model.config
        if max_length is not None and not 0 < max_length <= config.max_length:
            raise UserError(
                f"max_length {max_length}: from 1 to the {config.max_length} tokens the model takes"
            )
        for number, source in enumerate(sources, start=1):
            if not 0 < len(source) <= config.max_length:
                raise UserError(
                    f"source {number} has {len(source)} tokens: the model takes from 1 to {config.max_length}"
                )
            if not all(0 <= token < config.vocabulary for token in source):
                raise UserError(f"source {number} has a token beyond the vocabulary of {config.vocabulary}")
        return [max_length or min(2 * len(source) + 50, config.max_length) for source in sources]

    def _padded(self, sources: Sequence[Sequence[int]]) -> Any:
        pad = self.model.config.special.pad
        rows = np.full((len(sources), max(map(len, sources))), pad, np.int32)
        for number, source in enumerate(sources):
            rows[number, : len(source)] = source
        return rows

    def search(
        self, source: Any, limits: Any, *, beams: int, limit: Any, penalty: float, early: bool, rules: Rules
    ) -> tuple[Any, Any, Any]:
        """Finished outputs (M, N, L + 1) with their scores and lengths (M, N), the best first, as in `weft.generate`; each
        has up to as many tokens as `limits` (M,) say, the most of which is `limit`."""
        special, vocabulary = self.model.config.special, self.model.config.vocabulary
        kept, keep = self.model.encode(source)
        sentences = ops.shape(source)[0]
        kept = [tuple(ops.repeat(each, beams, axis=0) for each in pair) for pair in kept]
        keep = ops.repeat(keep, beams, axis=0)
        caches = self.model.new_caches(sentences * beams, limit)
        places = ops.arange(limit + 1)
        offsets = ops.arange(sentences)[:, None] * beams  # of a sentence's rows
        first = ops.concatenate(
            [ops.zeros((1,)), ops.full((beams - 1,), NEVER)] if beams > 1 else [ops.zeros((1,))], axis=0
        )
        tokens = ops.full((sentences, beams, limit + 1), special.start, dtype="int32")
        state = (
            ops.convert_to_tensor(0, "int32"),
            tokens,
            ops.tile(first[None], (sentences, 1)),  # the totals of what runs
            tokens,  # finished ones, with their scores and lengths
            ops.full((sentences, beams), NEVER),
            ops.zeros((sentences, beams), "int32"),
            ops.zeros((sentences,), "bool"),  # sentences that are over
            caches,
        )

        def goes_on(step: Any, *rest: Any) -> Any:
            return ops.logical_not(ops.all(rest[5]))

        def advance(
            step: Any, tokens: Any, totals: Any, done: Any, scores: Any, lengths: Any, over: Any, caches: Any
        ) -> Any:
            last = ops.reshape(ops.take(tokens, step, axis=2), (-1, 1))
            logits, caches = self.model.step(last, kept, keep, caches)
            logs = _ruled(
                ops.log_softmax(ops.cast(logits, "float32")),
                ops.reshape(tokens, (-1, limit + 1)),
                step,
                rules=rules if beams > 1 else rules._replace(renormalise=True),
                limits=ops.repeat(limits, beams),
                special=special,
            )
            logs = ops.reshape(logs, (sentences, beams, vocabulary))
            flat = ops.reshape(totals[..., None] + logs, (sentences, beams * vocabulary))
            summed, best = ops.top_k(flat, 2 * beams)
            parents, chosen = best // vocabulary, best % vocabulary
            ends = ops.equal(chosen, special.end)
            length = step + 1
            at = ops.equal(places, length)[None, None]

            def extended(count: Any) -> Any:
                rows = ops.take_along_axis(tokens, count[0][..., None], axis=1)
                return ops.where(at, count[1][..., None], rows)

            at_limit = ops.equal(limits, length)
            finished = ops.logical_or(ends[:, :beams], at_limit[:, None])
            finished = ops.logical_and(finished, summed[:, :beams] > NEVER)
            counts = ops.logical_and(finished, ops.logical_not(over)[:, None])
            normaliser = ops.power(ops.cast(length, "float32"), penalty)
            new = ops.where(counts, summed[:, :beams] / normaliser, NEVER)
            scores, order = ops.top_k(ops.concatenate([scores, new], axis=1), beams)
            each = ops.ones((sentences, beams), "int32") * length
            lengths = ops.take_along_axis(ops.concatenate([lengths, each], axis=1), order, axis=1)
            candidates = ops.concatenate([done, extended((parents[:, :beams], chosen[:, :beams]))], axis=1)
            done = ops.take_along_axis(candidates, order[..., None], axis=1)

            # Of the candidates the first that do not end run on.
            rank = ops.cast(ends, "int32") * 2 * beams + ops.arange(2 * beams)[None]
            running = ops.argsort(rank, axis=1)[:, :beams]
            parents, chosen, summed, ends = (
                ops.take_along_axis(each, running, axis=1) for each in (parents, chosen, summed, ends)
            )
            tokens = extended((parents, chosen))
            totals = ops.where(ends, NEVER, summed)
            rows = ops.reshape(offsets + parents, (-1,))
            caches = caches.select(rows)
            full = scores[:, -1] > NEVER
            if not early and beams > 1:
                full = ops.logical_and(full, ops.max(totals, axis=1) / normaliser <= scores[:, -1])
            over = ops.logical_or(over, ops.logical_or(full, at_limit))
            return length, tokens, totals, done, scores, lengths, over, caches

        found = ops.while_loop(goes_on, advance, state, maximum_iterations=limit)
        return found[3], found[4], found[5]

    def _sample(
        self, source: Any, uniforms: Any, *, limit: int, temperature: float, k: int | None, p: float | None
    ) -> tuple[Any, Any]:
        """Tokens (M, L + 1) and their summed log-probabilities (M,); `uniforms` (M, L) are the numbers they are drawn by."""
        special = self.model.config.special
        kept, keep = self.model.encode(source)
        sentences = ops.shape(source)[0]
        caches = self.model.new_caches(sentences, limit)
        places = ops.arange(limit + 1)[None]
        tokens = ops.full((sentences, limit + 1), special.start, dtype="int32")
        state = (
            ops.convert_to_tensor(0, "int32"),
            tokens,
            ops.zeros((sentences,)),
            ops.zeros((sentences,), "bool"),
            caches,
        )

        def goes_on(step: Any, tokens: Any, totals: Any, over: Any, caches: Any) -> Any:
            return ops.logical_not(ops.all(over))

        def advance(step: Any, tokens: Any, totals: Any, over: Any, caches: Any) -> Any:
            logits, caches = self.model.step(ops.take(tokens, step, axis=1)[:, None], kept, keep, caches)
            logits = ops.cast(logits, "float32")
            drawn = draw(logits, ops.take(uniforms, step, axis=1), temperature=temperature, k=k, p=p)
            chosen = ops.where(over, special.end, drawn)
            logs = ops.take_along_axis(ops.log_softmax(logits), chosen[:, None], axis=1)[:, 0]
            totals = totals + ops.where(over, 0.0, logs)
            tokens = ops.where(ops.equal(places, step + 1), chosen[:, None], tokens)
            return step + 1, tokens, totals, ops.logical_or(over, ops.equal(chosen, special.end)), caches

        found = ops.while_loop(goes_on, advance, state, maximum_iterations=limit)
        return found[1], found[2]


def _ruled(logs: Any, tokens: Any, step: Any, *, rules: Rules, limits: Any, special: SpecialTokens) -> Any:
    """Log-probabilities (R, V) of what may follow `tokens` (R, L + 1), of which those up to place `step` are there; `limits`
    (R,) say how many a row may have."""
    if rules == Rules() or rules == Rules(renormalise=True):
        return logs
    rows, size = ops.shape(tokens)[0], logs.shape[-1]
    never = ops.zeros((rows, size), "bool")
    names = ops.arange(size)[None]
    if n := rules.no_repeat_ngram:
        never = ops.logical_or(never, _repeated(tokens, step, n, size=size))
    for word in rules.banned:
        begun = ops.ones((rows,), "bool")
        for back, token in enumerate(reversed(word[:-1])):
            place = ops.maximum(step - back, 0)
            begun = ops.logical_and(begun, ops.equal(ops.take(tokens, place, axis=1), token))
        begun = ops.logical_and(begun, step + 2 >= len(word))
        never = ops.logical_or(never, ops.logical_and(begun[:, None], ops.equal(names, word[-1])))
    if rules.min_length > 1:
        early = ops.logical_and(step + 1 < rules.min_length, ops.equal(names, special.end))
        never = ops.logical_or(never, early)
    logs = ops.where(never, NEVER, logs)
    if rules.force_end:
        last = ops.equal(limits, step + 1)[:, None]
        logs = ops.where(last, ops.where(ops.equal(names, special.end), 0.0, NEVER), logs)
    if rules.renormalise:
        left = ops.logsumexp(logs, axis=-1, keepdims=True)
        logs = logs - ops.where(left > NEVER, left, 0.0)
    return logs


def _repeated(tokens: Any, step: Any, n: int, *, size: int) -> Any:
    """The tokens (R, V) that would end `n` tokens in a row a second time."""
    count = ops.maximum(ops.shape(tokens)[1] - n + 1, 0)
    begins = ops.arange(count)
    same = ops.broadcast_to(begins + n - 1 <= step, (ops.shape(tokens)[0], count))
    for ahead in range(n - 1):
        latest = ops.take(tokens, ops.maximum(step - n + 2 + ahead, 0), axis=1)
        same = ops.logical_and(same, ops.equal(tokens[:, ahead : ahead + count], latest[:, None]))
    rows = ops.broadcast_to(ops.arange(ops.shape(tokens)[0])[:, None], ops.shape(same))
    places = ops.stack([ops.reshape(rows, (-1,)), ops.reshape(tokens[:, n - 1 :], (-1,))], axis=1)
    counted = ops.scatter(places, ops.cast(ops.reshape(same, (-1,)), "int32"), (ops.shape(tokens)[0], size))
    return counted > 0


def draw(logits: Any, uniforms: Any, *, temperature: Any, k: Any, p: Any) -> Any:
    """A token (B,) for each row of logits (B, V), by the row's own number in [0, 1): of the `k` likeliest tokens (None: all)
    that together have the probability `p` (Holtzman et al. 2020, section 3.1; None: all)."""
    left = _truncated(logits / temperature, k=k, p=p)
    reached = ops.cumsum(ops.softmax(left), axis=-1)
    drawn = ops.sum(ops.cast(reached <= uniforms[:, None] * reached[:, -1:], "int32"), axis=-1)
    return ops.minimum(drawn, left.shape[-1] - 1)


def _truncated(logits: Any, *, k: Any, p: Any) -> Any:
    if k is not None:
        lowest = ops.top_k(logits, ops.minimum(k, logits.shape[-1]))[0][:, -1:]
        logits = ops.where(logits < lowest, NEVER, logits)
    if p is not None:
        ranked = ops.flip(ops.sort(ops.softmax(logits), axis=-1), axis=-1)
        before = ops.cumsum(ranked, axis=-1) - ranked
        lowest = ops.min(ops.where(before < p, ranked, np.inf), axis=-1, keepdims=True)
        logits = ops.where(ops.softmax(logits) < lowest, NEVER, logits)
    return logits


def _compiled(run: Any) -> Any:
    if keras.backend.backend() != "tensorflow":
        return run
    import tensorflow as tf

    return tf.function(run, reduce_retracing=True)
