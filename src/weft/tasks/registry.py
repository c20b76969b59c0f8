"""The tasks, by their names: all that makes a task a task."""

from collections.abc import Mapping
from types import MappingProxyType

from weft.tasks.answer import AnswerProblem
from weft.tasks.classify import ClassifyProblem
from weft.tasks.language_model import LanguageProblem
from weft.tasks.masked_lm import MaskedProblem
from weft.tasks.parallel import TranslateProblem
from weft.tasks.summarize import SummarizeProblem
from weft.tasks.tag import TagProblem
from weft.tasks.task import Problem

__all__ = ["PROBLEMS"]

PROBLEMS: Mapping[str, type[Problem]] = MappingProxyType(
    {
        "translate": TranslateProblem,
        "summarize": SummarizeProblem,
        "classify": ClassifyProblem,
        "tag": TagProblem,
        "answer": AnswerProblem,
        "masked-lm": MaskedProblem,
        "language-model": LanguageProblem,
    }
)
