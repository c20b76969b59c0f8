"""A trained model that finds the answers to questions in texts, in use."""

import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from weft import inspect
from weft.config import AnswererConfig
from weft.data.sources import Report
from weft.data.squad import read_squad
from weft.errors import UserError
from weft.network import Network
from weft.pipelines.embedder import embed
from weft.pipelines.texts import checked_texts, kind_of
from weft.tasks.passages import (
    NO_ANSWER,
    Passage,
    Span,
    SpanScores,
    Window,
    join_windows,
    read_passage,
    window_scores,
)
from weft.tasks.questions import read_questions
from weft.tasks.squad_score import score
from weft.text.encode import read_windows
from weft.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from weft.inspect.readers import Inspected, Question

__all__ = ["Answer", "Answerer", "AnswererEvaluation"]


class Answer(NamedTuple):
    """An answer, which is `context[start:end]`; or, where none was `found`, that the context holds none: then it is empty.

    `score` is its probability, among all that the context's tokens could be and that there is no answer.
    """

    text: str
    start: int
    end: int
    score: float
    found: bool


class AnswererEvaluation(NamedTuple):
    """SQuAD's exact match and F1 in per cent, over `questions`, so many of which have no answer.

    `answered` is how many the model gave an answer to; `left_out` says what could not be used, a line for each reason.
    """

    exact: float
    f1: float
    questions: int
    impossible: int
    answered: int
    left_out: tuple[str, ...]
    questions_per_second: float
    precision: str


class Answerer:
    """A model, its tokenizer, and how much better than no answer an answer has to be."""

    def __init__(
        self,
        config: AnswererConfig,
        *,
        network: Network,
        tokenizer: Tokenizer,
        precision: str = "float32",
    ) -> None:
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.precision = precision

    @overload
    def answer(self, question: str, context: str, *, nbest: None = None) -> Answer: ...  # type: ignore[overload-overlap]
    @overload
    def answer(self, question: str, context: str, *, nbest: int) -> list[Answer]: ...  # type: ignore[overload-overlap]
    @overload
    def answer(
        self, question: Sequence[str], context: str | Sequence[str], *, nbest: None = None
    ) -> list[Answer]: ...
    @overload
    def answer(
        self, question: Sequence[str], context: str | Sequence[str], *, nbest: int
    ) -> list[list[Answer]]: ...
    def answer(
        self, question: str | Sequence[str], context: str | Sequence[str], *, nbest: int | None = None
    ) -> Answer | list[Answer] | list[list[Answer]]:
        """Answer one question on a context, or a list of them on a context each, or all on the same; the order is kept.

        With `nbest`, a list of answers for each question: what is given without it, then the next best. Raises UserError
        for a question or a context that is blank, and for a question that leaves no room for a context.
        """
        if nbest is not None and nbest < 1:
            raise UserError(f"nbest is {nbest}, where it is 1 or more")
        questions, contexts = checked_texts(question), checked_texts(context)
        if isinstance(context, str):
            contexts *= len(questions)
        if len(contexts) != len(questions):
            raise UserError(
                f"{len(questions)} questions on {len(contexts)} contexts: give each its own, or all one"
            )
        for name, texts in (("question", questions), ("context", contexts)):
            for place, text in enumerate(texts):
                if not text.strip():
                    raise UserError(f"the {name} of number {place}, counted from 0, is blank")
        passages = [self._read(*pair) for pair in zip(questions, contexts, strict=True)]
        answers = [
            self._answers(text, found, count=nbest or 1)
            for text, found in zip(contexts, self._spans(passages), strict=True)
        ]
        if nbest is None:
            best = [each[0] for each in answers]
            return best[0] if isinstance(question, str) else best
        return answers[0] if isinstance(question, str) else answers

    def evaluate(self, data: str | Path | Sequence[str | Path]) -> AnswererEvaluation:
        """Exact match and F1 on questions in SQuAD's JSON.

        A question without a context, or one that leaves no room for it, cannot be measured: it is left out, and named.
        """
        report = Report()
        specs = [str(data)] if isinstance(data, str | Path) else [str(each) for each in data]
        questions = read_squad(specs, report=report)
        begin = time.perf_counter()
        asked = read_questions(questions, self.tokenizer, self.config, report=report)
        if not asked:
            raise UserError("; ".join([f"{', '.join(specs)}: nothing to measure", *report.lines()[1:]]))
        spans = self._spans([each.passage for each in asked])
        answers = [
            self._answers(each.question.context, found, count=1)[0]
            for each, found in zip(asked, spans, strict=True)
        ]
        seconds = time.perf_counter() - begin
        figures = score([answer.text for answer in answers], [each.question.answers for each in asked])
        return AnswererEvaluation(
            exact=figures.exact,
            f1=figures.f1,
            questions=len(asked),
            impossible=sum(each.question.impossible for each in asked),
            answered=sum(answer.found for answer in answers),
            left_out=tuple(report.lines()[1:]),
            questions_per_second=len(asked) / seconds,
            precision=self.precision,
        )

    def inspect(self, text: str, *, question: str, out: Path | str) -> "Inspected":
        """Answer a question on a text, and write a page that shows what the answer rests on, and all attention behind it.

        Of a long text the attention is that of the window which the answer was found in, or which came nearest to one.
        """
        for each in (text, question):
            if not isinstance(each, str):
                raise UserError(f"a text and a question are wanted, not {kind_of(each)}")
        answer = self.answer(question, text)
        passage = self._read(question, text)
        number, first, last = self._place(passage, answer)
        length, stride = self.config.length, self.config.stride
        asked, read = self.tokenizer.spans([question, text])
        readings = read_windows(self.tokenizer.layout, asked, read, length=length, stride=stride)
        facts = {"shown": f"window {number + 1} of {len(readings)}"} if len(readings) > 1 else {}
        return inspect.inspect_reading(
            self.network.model,
            readings[number],
            tokenizer=self.tokenizer,
            question=self._explained(passage.windows[number], first, last),
            answer=answer,
            title="Question answering",
            said=[
                inspect.Text(
                    "Answer", f"{answer.text if answer.found else 'none in this text'} ({answer.score:.1%})"
                )
            ],
            texts=[
                inspect.Text("Question", question),
                inspect.Text("Text", text, focus=(answer.start, answer.end) if answer.found else None),
            ],
            facts=facts,
            out=out,
        )

    def embed(self, text: str | Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        """Texts as vectors, see `Embedder.embed`."""
        return embed(text, self.network, tokenizer=self.tokenizer, config=self.config, truncate=truncate)

    def _place(self, passage: Passage, answer: Answer) -> tuple[int, int, int]:
        """The window that an answer scored best in, with its first and last token there; or in which none scored worst."""
        scores = window_scores(self.network, passage.windows)
        if not answer.found:
            none = [float(found[NO_ANSWER].sum()) for found in scores]
            return none.index(min(none)), NO_ANSWER, NO_ANSWER
        firsts, lasts = (
            np.flatnonzero(passage.offsets[:, side] == edge)
            for side, edge in enumerate((answer.start, answer.end))
        )
        places = [
            (number, int(first) - window.start + window.at, int(last) - window.start + window.at)
            for number, window in enumerate(passage.windows)
            for first, last in product(firsts, lasts)
            if window.start <= first <= last < window.start + window.size
        ]
        return max(places, key=lambda at: float(scores[at[0]][at[1], 0] + scores[at[0]][at[2], 1]))

    def _explained(self, window: Window, first: int, last: int) -> "Question":
        """What speaks for an answer: the log-probabilities of its first token and of its last, in the window."""
        head = self.network.model.heads["answer"]

        def both(states: "Tensor") -> "Tensor":
            scores: Tensor = head(states)
            shut = scores.new_tensor(~window.open, dtype=None)[:, None]
            likely = scores.masked_fill(shut.bool(), -np.inf).log_softmax(1)
            return likely[:, first, 0] + likely[:, last, 1]

        return inspect.Question("log-probability of the answer", both)

    def _read(self, question: str, context: str) -> Passage:
        length, stride = self.config.length, self.config.stride
        asked, read = self.tokenizer.spans([question, context])
        return read_passage(self.tokenizer.layout, asked, read, length=length, stride=stride)

    def _spans(self, passages: Sequence[Passage]) -> list[SpanScores]:
        windows = [window for passage in passages for window in passage.windows]
        return join_windows(passages, window_scores(self.network, windows), longest=self.config.longest)

    def _answers(self, context: str, spans: SpanScores, *, count: int) -> list[Answer]:
        """So many answers, the first of which is the model's: it may be that there is none."""
        none = Answer("", 0, 0, spans.probability(spans.none), found=False)
        some = [self._answer(context, span, spans) for span in spans.best(count)]
        return some if spans.answer(self.config.threshold) is not None else [none, *some][:count]

    def _answer(self, context: str, span: Span, spans: SpanScores) -> Answer:
        return Answer(
            context[span.begin : span.end], span.begin, span.end, spans.probability(span.score), found=True
        )
