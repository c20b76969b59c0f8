"""The simple models beside weft's readers: each learns from the same examples, and is measured by the same figures."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from seqeval.metrics import f1_score
from seqeval.scheme import IOB2
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import accuracy_score
from sklearn.metrics import f1_score as label_f1
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from weft.config import ClassifyConfig
from weft.data.sources import Report
from weft.data.squad import read_squad
from weft.tasks import squad_score
from weft.tasks.entities import Sentence, read_tagged, to_iob2
from weft.tasks.labelled import Labelled, read_labelled

__all__ = ["NAMES", "READERS", "answer", "classify", "tag"]

PASSES = 10  # of the linear tagger over its words
NAMES = {"classify": "linear, n-grams", "tag": "linear, word by word", "answer": "likeliest sentence"}
SETTINGS = {
    "classify": "linear SVM on tf-idf of words and pairs of words, C by cross-validation",
    "tag": "logistic regression on a word, its ends and its shape, and those of its neighbours",
    "answer": "the sentence that has most of the question's words",
}


def classify(train: Sequence[str], test: str, *, options: Mapping[str, str]) -> dict[str, Any]:
    """A linear support vector machine on the tf-idf of words and pairs of words."""
    known = _labelled(train, options)
    asked = _labelled([test], options)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]")  # noqa: S106
    model = make_pipeline(words, GridSearchCV(LinearSVC(), {"C": [0.1, 0.3, 1.0, 3.0]}, n_jobs=-1))
    model.fit([_text(each) for each in known], [each.labels[0] for each in known])
    truth, found = [each.labels[0] for each in asked], model.predict([_text(each) for each in asked])
    labels = sorted(set(truth))
    scores = label_f1(truth, found, labels=labels, average=None)
    return {
        "figures": {"accuracy": accuracy_score(truth, found)},
        "per_label": {label: {"f1": score} for label, score in zip(labels, scores, strict=True)},
    }


def _labelled(specs: Sequence[str], options: Mapping[str, str]) -> list[Labelled]:
    fields = {name: value for name, value in options.items() if name != "columns"}
    columns = options["columns"].split(",") if "columns" in options else None
    return read_labelled(specs, ClassifyConfig.model_validate(fields), columns=columns, report=Report())


def _text(example: Labelled) -> str:
    return example.text if example.pair is None else f"{example.text} {example.pair}"


def tag(train: Sequence[str], test: str, *, options: Mapping[str, str]) -> dict[str, Any]:
    """Logistic regression for each word by itself."""
    known = read_tagged(train, scheme="auto").sentences
    asked = read_tagged([test], scheme="auto").sentences
    model = make_pipeline(
        FeatureHasher(), SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=PASSES, tol=None, random_state=0)
    )
    model.fit(
        [features for each in known for features in _features(each)],
        [tag for each in known for tag in _tags(each)],
    )
    answers = iter(model.predict([features for each in asked for features in _features(each)]))
    found = [[str(next(answers)) for _ in each.words] for each in asked]
    return {"f1": f1_score([_tags(each) for each in asked], found, mode="strict", scheme=IOB2)}


def _tags(sentence: Sentence) -> list[str]:
    return to_iob2(sentence.spans, words=len(sentence.words))


def _features(sentence: Sentence) -> list[dict[str, str]]:
    """What is told of each word: itself, its ends, its shape, and what stands beside it."""
    words = ["", *(sentence.text[begin:end] for begin, end in sentence.words), ""]
    shapes = [re.sub(r"\d", "0", re.sub(r"[^\W\d_]", "a", re.sub(r"[A-ZÀ-Þ]", "A", word))) for word in words]
    return [
        {
            **{f"word {by}": words[place + by].lower() for by in (-1, 0, 1)},
            **{f"shape {by}": shapes[place + by][:6] for by in (-1, 0, 1)},
            **{f"first {size}": words[place][:size] for size in (2, 3)},
            **{f"last {size}": words[place][-size:] for size in (2, 3)},
        }
        for place in range(1, len(words) - 1)
    ]


def answer(train: Sequence[str], test: str, *, options: Mapping[str, str]) -> dict[str, Any]:
    """The sentence of the text that has most of the question's words; it learns nothing."""
    questions = read_squad([test], report=Report())
    found = [_likeliest(each.question, each.context) for each in questions]
    return squad_score.score(found, [each.answers for each in questions])._asdict()


def _likeliest(question: str, context: str) -> str:
    asked = set(re.findall(r"\w+", question.lower()))
    sentences = re.split(r"(?<=[.!?])\s+", context)
    return max(sentences, key=lambda sentence: len(asked & set(re.findall(r"\w+", sentence.lower()))))


READERS = {"classify": classify, "tag": tag, "answer": answer}
