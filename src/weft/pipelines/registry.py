"""The pipelines, by the task that a model was trained for."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from weft.pipelines.answerer import Answerer
from weft.pipelines.classifier import Classifier
from weft.pipelines.embedder import Embedder
from weft.pipelines.filler import Filler
from weft.pipelines.summarizer import Summarizer
from weft.pipelines.tagger import Tagger
from weft.pipelines.translator import Translator

__all__ = ["PIPELINES"]

PIPELINES: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "translate": Translator,
        "summarize": Summarizer,
        "classify": Classifier,
        "tag": Tagger,
        "answer": Answerer,
        "masked-lm": Filler,
        "embed": Embedder,
    }
)
"""By the task of a folder's config.json: made from it, with a `network`, a `tokenizer` and a `precision`; a language model's
`Generator` is not here."""
