"""What `model.compile` and `model.fit` are given: a loss, the paper's schedule, and batches of text."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from weft.config import SpecialTokens
from weft.errors import UserError
from weft.keras.layers import register

__all__ = ["CrossEntropy", "InverseSquareRoot", "pair_batches"]


@register
class CrossEntropy(keras.losses.Loss):
    """Label-smoothed cross-entropy in nats, the mean over all labels (B, T) but the `pad` ids; predictions are logits.

    The same number as weft's own loss: a share `smoothing` is spread over the whole vocabulary (Szegedy et al. 2016,
    section 7). It is one number for a batch, which weights of single labels do not suit. Under a strategy of
    `tf.distribute` the replicas' losses add up to that of their whole batch, however its labels are shared out.
    """

    def __init__(
        self, *, pad: int, smoothing: float = 0.0, name: str = "cross_entropy", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.smoothing, self.pad = smoothing, pad

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "smoothing": self.smoothing, "pad": self.pad}

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if sample_weight is not None:
            raise UserError("sample_weight: this loss is one number for a batch: leave the weights out")
        return super().__call__(y_true, y_pred)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        real = ops.cast(ops.not_equal(y_true, self.pad), "float32")
        logs = ops.log_softmax(ops.cast(y_pred, "float32"), axis=-1)  # (B, T, V)
        picked = ops.take_along_axis(logs, ops.cast(y_true, "int32")[..., None], axis=-1)[..., 0]
        each = -(1 - self.smoothing) * picked - self.smoothing * ops.mean(logs, axis=-1)
        return ops.sum(each * real) / ops.maximum(_of_all_replicas(ops.sum(real)), 1.0)


def _of_all_replicas(count: Any) -> Any:
    """The sum of a count over the replicas of a `tf.distribute` strategy; without one, the count."""
    if keras.backend.backend() != "tensorflow":
        return count
    import tensorflow as tf

    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return count
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, count)


@register
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """The rate rises in a straight line to `peak` for `warmup` steps, and falls with the square root of the step from there
    on (Vaswani et al. 2017, section 5.3, whose peak is √(D · warmup)⁻¹)."""

    def __init__(self, peak: float, *, warmup: int = 4000) -> None:
        super().__init__()
        self.peak, self.warmup = peak, warmup

    def get_config(self) -> dict[str, Any]:
        return {"peak": self.peak, "warmup": self.warmup}

    def __call__(self, step: Any) -> Any:
        done, warmup = ops.cast(step, "float32") + 1.0, float(max(1, self.warmup))
        return self.peak * ops.minimum(done / warmup, ops.sqrt(warmup / done))


def pair_batches(
    sources: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
    *,
    special: SpecialTokens,
    batch_tokens: int = 1024,
    seed: int = 0,
    repeat: bool = True,
    replicas: int = 1,
) -> Any:
    """A `tf.data.Dataset` for `fit`: ({"source": (B, S), "target": (B, T)}, labels (B, T)), rows of like length together.

    `sources` end with the end token, if the model wants one; `targets` are without the start and the end token. A batch
    holds up to `batch_tokens` source and target tokens, padding included, or a single row; each pass has its own order.
    So many `replicas` of a `tf.distribute` strategy share a batch evenly: rows of padding, which count nowhere, fill it up.
    """
    if len(sources) != len(targets) or not sources:
        raise UserError(
            f"{len(sources):,} sources beside {len(targets):,} targets: there have to be as many, and some"
        )
    import tensorflow as tf

    sizes = np.array(
        [(len(source), len(target) + 1) for source, target in zip(sources, targets, strict=True)]
    )
    if not sizes[:, 0].all():
        raise UserError(f"source {int(sizes[:, 0].argmin()) + 1} is empty")
    draw = np.random.default_rng(seed)

    def rows(numbers: Sequence[int]) -> tuple[dict[str, Any], Any]:
        empty: list[Sequence[int]] = [[]] * (-len(numbers) % replicas)
        written = [targets[number] for number in numbers]
        read, target, labels = (
            _padded([*some, *empty], special.pad)
            for some in (
                [sources[number] for number in numbers],
                [[special.start, *each] for each in written],
                [[*each, special.end] for each in written],
            )
        )
        return {"source": read, "target": target}, labels

    def batches() -> Iterator[tuple[dict[str, Any], Any]]:
        while True:
            order = np.argsort(
                sizes.sum(1) + draw.random(len(sizes)) * 4, kind="stable"
            )  # lengths mixed a little
            cut: list[list[int]] = []
            longest = np.zeros(2, int)
            for number in order.tolist():
                longest = np.maximum(longest, sizes[number])
                if not cut or (len(cut[-1]) + 1) * longest.sum() > batch_tokens:
                    cut.append([])
                    longest = sizes[number]
                cut[-1].append(number)
            for place in draw.permutation(len(cut)):
                yield rows(cut[place])
            if not repeat:
                return

    row = tf.TensorSpec((None, None), tf.int32)
    dataset = tf.data.Dataset.from_generator(batches, output_signature=({"source": row, "target": row}, row))
    return dataset.prefetch(4)


def _padded(rows: Sequence[Sequence[int]], pad: int) -> Any:
    array = np.full((len(rows), max(map(len, rows))), pad, np.int32)
    for number, row in enumerate(rows):
        array[number, : len(row)] = row
    return array
