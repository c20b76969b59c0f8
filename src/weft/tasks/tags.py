"""IOB2's tags as a model's labels: which may follow which, the entities they say, and how right these are."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weft.errors import UserError, suggest
from weft.tasks.entities import OUTSIDE, Sentence, Span, to_iob2

__all__ = ["NOTHING", "PART", "Found", "Labels", "Scores", "TagSet", "score", "viterbi"]

NOTHING, PART = -1, -2  # in place of a word's first token: it has none, or none but those of the word before

Labels = NDArray[np.int64]
"""For each word, the number of its label."""


class Found(NamedTuple):
    """An entity: the words from `begin` to before `end`, and the mean probability of their labels."""

    begin: int
    end: int
    label: str
    score: float

    @property
    def span(self) -> Span:
        """The entity alone."""
        return Span(self.begin, self.end, self.label)


class Scores(NamedTuple):
    """How many of the entities that were found are right, of those there are were found, and the harmonic mean of both.

    An entity is right with its label and both its ends. `per_type` has the same for each label, and its `support`, how
    many there are.
    """

    precision: float
    recall: float
    f1: float
    per_type: dict[str, dict[str, float]]


class TagSet:
    """A model's labels, IOB2's tags, by number: which may follow which, and the best for the words of a sentence.

    Raises UserError where they are no such tags.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self.number = {label: number for number, label in enumerate(self.labels)}
        for label in self.labels:
            if label != OUTSIDE and f"B-{label[2:]}" not in self.number:
                raise UserError(
                    f'the model\'s labels are no tags of IOB2, "{label}" for one (it has {", ".join(self.labels)})'
                )
        if OUTSIDE not in self.number:
            raise UserError(f'the model has no label "{OUTSIDE}" for words in no entity: it is no tagger')
        # after[i, j]: j may follow i. I-X stands behind B-X and I-X alone.
        self.after = np.array([[_may_follow(one, other) for other in self.labels] for one in self.labels])
        # What a part of a word has: it goes on with what its word began.
        self.onward = np.array([self._onward(label) for label in self.labels])

    @property
    def entities(self) -> tuple[str, ...]:
        """The labels of entities."""
        return tuple(sorted({label[2:] for label in self.labels if label != OUTSIDE}))

    def _onward(self, label: str) -> int:
        return self.number.get(f"I-{label[2:]}", self.number[OUTSIDE])

    def numbers(self, sentence: Sentence) -> Labels:
        """The labels of a sentence's words; a UserError names the place of an entity of another kind."""
        for span in sentence.spans:
            if f"B-{span.label}" not in self.number:
                raise UserError(
                    f'{sentence.place}: the label "{span.label}" was not seen in training'
                    f"{suggest(span.label, self.entities)} (known: {', '.join(self.entities)})"
                )
        tags = to_iob2(sentence.spans, words=len(sentence.words))
        return np.array([self.number[tag] for tag in tags], dtype=np.int64)

    def best(self, scores: NDArray[np.float32], tokens: NDArray[np.int64]) -> Labels:
        """The likeliest labels for words with these log-probabilities (W, L), of those that may follow each other.

        A word without a token is in no entity.
        """
        whole = np.flatnonzero(tokens != PART)
        scores = scores[whole].copy()
        scores[tokens[whole] == NOTHING] = np.where(np.array(self.labels) == OUTSIDE, 0.0, -np.inf)
        labels = np.empty(len(tokens), dtype=np.int64)
        labels[whole] = viterbi(scores, after=self.after, first=self.after[self.number[OUTSIDE]])
        for word in np.flatnonzero(tokens == PART):
            labels[word] = self.onward[labels[word - 1]]
        return labels

    def found(self, scores: NDArray[np.float32], tokens: NDArray[np.int64]) -> list[Found]:
        """The entities among words with these log-probabilities (W, L)."""
        labels = self.best(scores, tokens)
        likely = np.exp(scores[np.arange(len(labels)), labels].astype(np.float64))
        entities = []
        for begin, end, label in self.spans(labels):
            whole = tokens[begin:end] != PART
            entities.append(Found(begin, end, label, float(likely[begin:end][whole].mean())))
        return entities

    def spans(self, labels: Labels) -> list[Span]:
        """The entities that labels say, none of which is where it may not stand."""
        spans: list[Span] = []
        for word, number in enumerate(labels.tolist()):
            letter, label = self.labels[number][:1], self.labels[number][2:]
            if letter == "B":
                spans.append(Span(word, word + 1, label))
            elif letter == "I":
                spans[-1] = spans[-1]._replace(end=word + 1)
        return spans


def _may_follow(one: str, other: str) -> bool:
    return not other.startswith("I-") or one[2:] == other[2:]


def viterbi(scores: NDArray[np.float32], *, after: NDArray[np.bool_], first: NDArray[np.bool_]) -> Labels:
    """The path of labels with the highest sum of scores (W, L), in which each may follow the one before (Viterbi 1967).

    `after` (L, L) says what may follow what, `first` (L,) what a path may begin with.
    """
    best: Labels = scores.argmax(axis=1)
    if not len(best) or (first[best[0]] and after[best[:-1], best[1:]].all()):
        return best  # nothing is better than the best of each
    barred = np.where(after, 0.0, -np.inf)
    total = np.where(first, scores[0], -np.inf).astype(np.float64)
    origins = np.empty(scores.shape, dtype=np.int64)
    for word in range(1, len(scores)):
        paths = total[:, None] + barred  # (L before, L after)
        origins[word] = paths.argmax(axis=0)
        total = paths.max(axis=0) + scores[word]
    path = np.empty(len(scores), dtype=np.int64)
    path[-1] = total.argmax()
    for word in range(len(scores) - 1, 0, -1):
        path[word - 1] = origins[word, path[word]]
    return path


def score(
    truth: Sequence[Sequence[Span]], found: Sequence[Sequence[Span]], *, words: Sequence[int]
) -> Scores:
    """seqeval's figures (Nakayama 2018) for the entities of sentences of so many words, from 0 to 1."""
    try:
        from seqeval.metrics.sequence_labeling import precision_recall_fscore_support
    except ImportError as error:
        raise UserError("entities are counted by the seqeval library: pip install seqeval") from error
    if not any(truth) and not any(found):
        return Scores(0.0, 0.0, 0.0, {})
    tags = [
        [to_iob2(spans, words=count) for spans, count in zip(side, words, strict=True)]
        for side in (truth, found)
    ]
    precision, recall, f1, _ = precision_recall_fscore_support(*tags, average="micro", zero_division=0)
    rows = zip(*precision_recall_fscore_support(*tags, average=None, zero_division=0), strict=True)
    labels = sorted({span.label for side in (truth, found) for spans in side for span in spans})
    per_type = {label: _figures(*row) for label, row in zip(labels, rows, strict=True)}
    return Scores(float(precision), float(recall), float(f1), per_type)


def _figures(precision: float, recall: float, f1: float, support: int) -> dict[str, float]:
    return {"precision": float(precision), "recall": float(recall), "f1": float(f1), "support": int(support)}
