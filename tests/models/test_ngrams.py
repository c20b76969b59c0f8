"""The linear model on words and pairs of words."""

from pathlib import Path

import numpy as np
import pytest

from weft.errors import UserError
from weft.models.ngrams import Ngrams
from weft.tasks.ngram_training import fit_ngrams

TEXTS = [
    "A gorgeous, witty film.",
    "dull dull and long",
    "Not a dull film!",
    "witty? not at all",
    "long and gorgeous",
    "a long, long way",
    "the film is not gorgeous",
    "witty and not long",
]
LABELS = np.array([0, 1, 0, 1, 0, 2, 1, 0])
TARGETS = np.eye(3, dtype=np.float32)[LABELS]


@pytest.fixture(autouse=True)
def _as_strong_as_scikit_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.tasks.ngram_training.STRENGTH", float(len(TEXTS)))  # C = 1


def test_it_is_the_linear_support_vector_machine_of_scikit_learn() -> None:
    text = pytest.importorskip("sklearn.feature_extraction.text")
    svm = pytest.importorskip("sklearn.svm")
    words = text.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\w+|[^\w\s]")  # noqa: S106
    theirs = svm.LinearSVC(tol=1e-6, max_iter=1_000_000, intercept_scaling=30.0)
    theirs.fit(words.fit_transform(TEXTS), LABELS)
    asked = [*TEXTS, "witty film", "a long way to go"]
    ours = fit_ngrams(TEXTS, TARGETS).score(asked)
    np.testing.assert_allclose(ours, theirs.decision_function(words.transform(asked)), atol=2e-3)


def test_a_text_is_scored_alone() -> None:
    model = fit_ngrams(TEXTS, TARGETS)
    asked = ["witty", "", "unheard of", *TEXTS, "film " * 300]
    together = model.score(asked)
    for text, scores in zip(asked, together, strict=True):
        np.testing.assert_array_equal(model.score([text])[0], scores)
    np.testing.assert_array_equal(together[1:3], [model.bias] * 2)
    assert model.score([]).shape == (0, 3)


def test_the_importance_of_texts_moves_the_weights() -> None:
    importance = np.where(LABELS == 2, 20.0, 0.05).astype(np.float32)
    plain, heavy = fit_ngrams(TEXTS, TARGETS), fit_ngrams(TEXTS, TARGETS, importance=importance)
    rare = LABELS.tolist().index(2)
    assert heavy.score(TEXTS)[rare, 2] > plain.score(TEXTS)[rare, 2]
    assert heavy.score(["way"])[0, 2] > plain.score(["way"])[0, 2]


def test_it_comes_back_from_a_file(tmp_path: Path) -> None:
    model, path = fit_ngrams(TEXTS, TARGETS), tmp_path / "ngrams.safetensors"
    model.save(path)
    again = Ngrams.load(path, rows=len(model.buckets), labels=3)
    np.testing.assert_array_equal(again.score(TEXTS), model.score(TEXTS))
    with pytest.raises(UserError, match="belong to another configuration"):
        Ngrams.load(path, rows=len(model.buckets), labels=2)
