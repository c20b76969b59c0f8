"""Questions and their contexts, as a model reads them."""

from collections.abc import Sequence
from typing import NamedTuple

from weft.config import AnswererConfig
from weft.data.sources import Report
from weft.data.squad import Question, leave_out
from weft.errors import UserError
from weft.tasks.passages import Passage, read_passage
from weft.text.tokenizer import Tokenizer

__all__ = ["Asked", "read_questions"]


class Asked(NamedTuple):
    """A question, and what is read of it."""

    question: Question
    passage: Passage


def read_questions(
    questions: Sequence[Question], tokenizer: Tokenizer, config: AnswererConfig, *, report: Report
) -> list[Asked]:
    """The questions in windows; those that leave no room for a context are left out, and counted in `report`."""
    contexts = list(dict.fromkeys(question.context for question in questions))
    read = dict(zip(contexts, tokenizer.spans(contexts), strict=True))
    asked = tokenizer.spans([question.question for question in questions])
    found = []
    for question, spans in zip(questions, asked, strict=True):
        length, stride = config.length, config.stride
        try:
            passage = read_passage(
                tokenizer.layout, spans, read[question.context], length=length, stride=stride
            )
        except UserError:
            why = f"too long for windows of {length} tokens that overlap by {stride}"
            leave_out(why, question.place, report)
            continue
        found.append(Asked(question, passage))
    return found
