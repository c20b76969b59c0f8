"""SQuAD's own scores: the share of answers that are exactly right, and the F1 of their words."""

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["SquadScore", "best_threshold", "exact_match", "f1", "normalise", "score"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class SquadScore(NamedTuple):
    """Exact match and F1 over questions, in per cent."""

    exact: float
    f1: float


def normalise(text: str) -> str:
    """What is compared: lower case, without ASCII punctuation and articles, single blanks.

    >>> normalise("The  Cat's  hat, an old-ish one.")
    'cats hat oldish one'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Sequence[str]) -> float:
    """1 where an answer is the same once both are normalised; where there is none, for an empty prediction.

    >>> exact_match("the Cat", ["cat", "a dog"]), exact_match("", []), exact_match("cat", [])
    (1.0, 1.0, 0.0)
    """
    found = normalise(prediction)
    return float(any(found == answer for answer in _normalised(answers)))


def f1(prediction: str, answers: Sequence[str]) -> float:
    """The best F1 of the prediction's words against an answer's; an empty side is right only beside an empty one.

    >>> f1("black cat", ["the cat", "a dog"]), f1("", ["cat"]), f1("", [])
    (0.6666666666666666, 0.0, 1.0)
    """
    found = normalise(prediction).split()
    return max(_overlap(found, answer.split()) for answer in _normalised(answers))


def score(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> SquadScore:
    """Exact match and F1 of a prediction for each question, as SQuAD 2.0's script has them.

    A prediction is empty where no answer is given, and so is the list of answers of a question that has none. Answers of
    articles and punctuation alone do not count, other than in version 1.1's script (Rajpurkar et al. 2018, section 5;
    2016, section 6.1).
    """
    pairs = list(zip(predictions, references, strict=True))
    exact = sum(exact_match(*pair) for pair in pairs)
    return SquadScore(100 * exact / len(pairs), 100 * sum(f1(*pair) for pair in pairs) / len(pairs))


def best_threshold(margins: Sequence[float], *, given: Sequence[float], withheld: Sequence[float]) -> float:
    """The threshold that a margin has to be above for the answer to be given, such that the scores' sum is the largest.

    `margins` say how much better than no answer each question's answer is (minus infinity: there is none to give),
    `given` what each scores when it is given, `withheld` when it is not.

    >>> best_threshold([3.0, 1.0, -2.0], given=[1, 0, 0], withheld=[0, 0, 1])
    2.0
    """
    order = np.argsort(-np.array(margins), kind="stable")
    order = order[np.isfinite(np.array(margins)[order])]
    if not len(order):
        return 0.0
    sorted_margins = np.array(margins, dtype=np.float64)[order]
    gains = (np.array(given, dtype=np.float64) - np.array(withheld, dtype=np.float64))[order]
    # Number k: the k answers with the largest margins are given. None may part answers with the same margin.
    totals = np.concatenate([[0.0], gains.cumsum()])
    borders = np.concatenate([[sorted_margins[0] + 2.0], sorted_margins, [sorted_margins[-1] - 2.0]])
    totals[1:-1][sorted_margins[:-1] == sorted_margins[1:]] = -np.inf
    best = int(totals.argmax())
    return float((borders[best] + borders[best + 1]) / 2)


def _normalised(answers: Sequence[str]) -> list[str]:
    """The answers that are more than articles and punctuation; where there are none, the empty one."""
    return [text for answer in answers if (text := normalise(answer))] or [""]


def _overlap(found: Sequence[str], answer: Sequence[str]) -> float:
    if not found or not answer:
        return float(list(found) == list(answer))
    same = sum((Counter(found) & Counter(answer)).values())
    return 2 * same / (len(found) + len(answer))
