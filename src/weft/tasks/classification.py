"""What a classifier reads, what its scores mean, and how good they are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.config import ClassifierConfig
from weft.network import Network
from weft.tasks.labelled import Labelled, label_of
from weft.text.encode import Reading, read_texts
from weft.text.tokenizer import Tokenizer

__all__ = ["Scores", "encode", "joined", "predict", "probabilities", "score", "targets_of"]


Targets = NDArray[Any]
"""What the texts' labels are: numbers of classes (N,), ones and zeros (N, L), or numbers (N,)."""


class Scores(NamedTuple):
    """How good predictions are: a figure for each name, and for single labels how often which was taken for which.

    `confusion` counts a row for each true label and a column for each predicted one.
    """

    figures: dict[str, float]
    per_label: dict[str, dict[str, float]]
    confusion: NDArray[np.int64] | None


def joined(example: Labelled) -> str:
    """A text or a pair as the linear model reads it, which knows no order but that of two words."""
    return example.text if example.pair is None else f"{example.text} {example.pair}"


def encode(examples: Sequence[Labelled], tokenizer: Tokenizer, *, maximum: int) -> list[Reading]:
    """Labelled texts as they are read, the longest cut."""
    pairs = [example.pair for example in examples if example.pair is not None]
    texts = [example.text for example in examples]
    return read_texts(tokenizer, texts, pairs or None, maximum=maximum, cut=True)


def targets_of(examples: Sequence[Labelled], config: ClassifierConfig) -> Targets:
    """What a model is to say of these examples; a UserError names the place of a label that it does not know."""
    if config.kind == "number":
        values = np.array([float(example.labels[0]) for example in examples], dtype=np.float32)
        return (values - np.float32(config.mean)) / np.float32(config.deviation)
    number = label_of(config.labels)
    numbers = [[number(label, example.place) for label in example.labels] for example in examples]
    if config.kind == "single":
        return np.array([each[0] for each in numbers], dtype=np.int64)
    targets = np.zeros((len(examples), len(config.labels)), dtype=np.float32)
    for row, each in zip(targets, numbers, strict=True):
        row[each] = 1.0
    return targets


def predict(network: Network, readings: Sequence[Reading], *, labels: int) -> NDArray[np.float32]:
    """A score for each label of each text, (N, L); no text's depends on the others."""
    found = np.empty((len(readings), labels), dtype=np.float32)
    ids, segments = [each.ids for each in readings], [each.segments for each in readings]
    for rows, scores in network.ask("classify", ids, segments):
        found[rows] = scores
    return found


def probabilities(logits: NDArray[np.float32], config: ClassifierConfig) -> NDArray[np.float32]:
    """Calibrated probabilities of the labels (N, L); for a number, the number itself (N, 1)."""
    if config.kind == "number":
        number: NDArray[np.float32] = logits * np.float32(config.deviation) + np.float32(config.mean)
        return number
    scaled = logits / np.float32(config.temperature)
    together = config.kind == "single"
    everything = np.logaddexp.reduce(scaled, axis=-1, keepdims=True) if together else np.logaddexp(0, scaled)
    shares: NDArray[np.float32] = np.exp(scaled - everything).astype(np.float32)
    return shares


def score(found: NDArray[np.float32], targets: Targets, config: ClassifierConfig) -> Scores:
    """Accuracy and macro F1; of numbers, the mean error and Pearson's correlation."""
    if config.kind == "number":
        truth = targets * config.deviation + config.mean
        error = float(np.abs(found[:, 0] - truth).mean())
        both = np.corrcoef(found[:, 0], truth) if found[:, 0].std() and truth.std() else np.zeros((2, 2))
        return Scores({"mean_error": error, "pearson": float(both[0, 1])}, {}, None)
    size = len(config.labels)
    if config.kind == "multiple":
        chosen, right = found > 0.5, targets > 0.5
        exact = float((chosen == right).all(axis=1).mean())
        confusion = None
    else:
        best = found.argmax(axis=1)
        chosen, right = np.eye(size, dtype=bool)[best], np.eye(size, dtype=bool)[targets]
        exact = float((best == targets).mean())
        confusion = np.bincount(targets * size + best, minlength=size * size).reshape(size, size)
    hits, said, there = (chosen & right).sum(0), chosen.sum(0), right.sum(0)
    per_label = {
        label: {
            "precision": hits[i] / said[i] if said[i] else 0.0,
            "recall": hits[i] / there[i] if there[i] else 0.0,
            "f1": 2 * hits[i] / (said[i] + there[i]) if said[i] + there[i] else 0.0,
            "texts": int(there[i]),
        }
        for i, label in enumerate(config.labels)
    }
    # As scikit-learn has it: over the labels that occur, in truth or in what was said.
    occurring = [per_label[label]["f1"] for i, label in enumerate(config.labels) if said[i] + there[i]]
    macro = float(np.mean(occurring)) if occurring else 0.0
    return Scores({"accuracy": exact, "macro_f1": macro}, per_label, confusion)
