"""The simple baseline beside each accuracy: a linear classifier on words and pairs of words."""

from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

__all__ = ["predict"]

INVERSE_REGULARISATION = 10.0


def predict(texts: Sequence[str], labels: Sequence[str], *, unseen: Sequence[str]) -> list[str]:
    """Labels for unseen texts by logistic regression on the tf-idf of words and pairs of words."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\w+|[^\w\s]")  # noqa: S106
    model = make_pipeline(words, LogisticRegression(C=INVERSE_REGULARISATION, max_iter=2000))
    model.fit(list(texts), list(labels))
    return [str(label) for label in model.predict(list(unseen))]
