"""Extractive question answering: where in a text the answer to a question stands, or that it holds none."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from weft.config import AnswererConfig, AnswerRun, HeadName, ModelConfig, RunConfig
from weft.data.batches import spread
from weft.data.sources import Report
from weft.data.squad import Question, leave_out, read_squad
from weft.description import CONFIG
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.nn.loss import Loss
from weft.runs.folder import Content
from weft.tasks.kept import hold_to_text
from weft.tasks.passages import (
    NO_ANSWER,
    Span,
    SpanScores,
    Window,
    join_windows,
    window_scores,
)
from weft.tasks.pointing import collate_windows, point
from weft.tasks.questions import Asked, read_questions
from weft.tasks.reading import Beginning, Reader, hold_out
from weft.tasks.squad_score import best_threshold, f1, score
from weft.tasks.task import Batch, Problem, Task, Validation
from weft.text.tokenizer import Tokenizer

__all__ = ["Answer", "AnswerProblem"]

HEADS: tuple[HeadName, ...] = ("answer",)
HELD_OUT = 1000  # questions, evenly spread: more tell no more, and take their time from training
TRAINING, HELD = "training", "held-out"
UNKNOWN = -1  # the label of a window of a question whose answer's place is not known

Scores = NDArray[np.float32]

Labels = tuple[int, int]
"""The tokens of a window that an answer begins and ends at."""


class Row(NamedTuple):
    """A window with its labels, and where its question stands."""

    window: Window
    labels: Labels
    place: str


class AnswerProblem(Problem):
    """The training of a model that answers questions on a text."""

    config = AnswerRun
    table = "answer"
    architecture = "encoder"

    def __init__(self, run: RunConfig) -> None:
        assert isinstance(run, AnswerRun)
        if run.data.columns is not None:
            raise UserError("--columns names the columns of a table, and SQuAD's JSON is none: leave it out")
        self.run = run
        self.beginning = Beginning(run)
        self.reports = {TRAINING: Report(), HELD: Report()}
        self.train = read_squad(run.data.train, report=self.reports[TRAINING])
        self.given = bool(run.data.valid)
        if self.given:
            self.valid = read_squad(run.data.valid, report=self.reports[HELD])
        else:
            self.train, self.valid = _hold_out_contexts(self.train, run)

    @property
    def about(self) -> str:
        return f"{len(self.train):,} questions and their contexts"

    @property
    def answerless(self) -> bool:
        """Whether some questions have no answer, so that the model may say so."""
        return any(question.impossible for question in (*self.train, *self.valid))

    def make_tokenizer(self) -> Tokenizer:
        contexts = dict.fromkeys(question.context for question in self.train)
        return self.beginning.make_tokenizer([*contexts, *(question.question for question in self.train)])

    def make_task(
        self, folder: Path, *, tokenizer: Tokenizer, begun: bool, tell: Callable[[str], None]
    ) -> "Answer":
        hold_to_text(folder, (*self.train, *self.valid), data=self.run.data, begun=begun)
        return Answer(self, tokenizer=tokenizer)

    def describe(self, model: ModelConfig) -> AnswererConfig:
        answer = self.run.answer
        return AnswererConfig(
            family=self.beginning.family,
            model=model,
            heads=HEADS,
            pooling=self.beginning.pooling,
            length=answer.length,
            stride=answer.stride,
            longest=answer.longest,
        )

    def make_model(self, model: ModelConfig) -> Encoder:
        return self.beginning.make_model(model, heads=HEADS, labels=0, pooling="first")


class Answer(Task):
    """Cross-entropy of an answer's first and last token over each window's (Devlin et al. 2019, section 4.2)."""

    shorter = "answer.length to read shorter windows"

    def __init__(self, problem: AnswerProblem, *, tokenizer: Tokenizer) -> None:
        run = problem.run
        if run.answer.length > run.model.max_length:
            raise UserError(
                f"answer.length {run.answer.length} is more than the {run.model.max_length} tokens that the model takes: "
                f"set answer.length to {run.model.max_length} or less"
            )
        self.problem = problem
        self.pad = run.model.special.pad
        self.smoothing = run.train.smoothing
        self.described = problem.describe(run.model)
        self.reports = deepcopy(problem.reports)
        train = read_questions(problem.train, tokenizer, self.described, report=self.reports[TRAINING])
        self.rows = _training_rows(train, report=self.reports[TRAINING])
        if not self.rows:
            names = ", ".join(run.data.train)
            raise UserError("; ".join([f"{names}: not a single question to learn from", *self.left_out]))
        places = spread(len(problem.valid), count=HELD_OUT)
        valid = [problem.valid[place] for place in places]
        self.valid = read_questions(valid, tokenizer, self.described, report=self.reports[HELD])
        self.held_rows = [row for asked in self.valid for row in _rows(asked)]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:  # asked for at each step
        return np.array([[len(row.window.ids)] for row in self.rows], dtype=np.int64)

    @property
    def facts(self) -> dict[str, Any]:
        there, contexts = self.problem.valid, len({question.context for question in self.problem.valid})
        some = "" if self.held_out == len(there) else f"{self.held_out:,} of "
        drawn = (
            ""
            if self.problem.given
            else f", with the {contexts:,} contexts drawn for it from the training text"
        )
        impossible = sum(question.impossible for question in self.problem.train)
        return {
            "questions": len({row.place for row in self.rows}),
            **({"without an answer": impossible} if impossible else {}),
            "windows": len(self.rows),
            "held out": f"{some}{len(there):,} questions{drawn}",
            "tokens": int(self.lengths.sum()),
        }

    @property
    def left_out(self) -> list[str]:
        return [
            f"{name} questions: {line}"
            for name, report in self.reports.items()
            for line in report.lines()[1:]
        ]

    @property
    def held_out(self) -> int:
        return len(self.valid)

    @property
    def scored(self) -> int:
        return self.held_out

    def place(self, row: int) -> str:
        return self.rows[row].place

    def collate(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        batch = collate_windows([self.rows[row].window for row in rows], pad=self.pad)
        return {**batch, "labels": torch.tensor([self.rows[row].labels for row in rows])}

    def count(self, batch: Batch) -> dict[str, int]:
        return {"answer": batch["labels"].numel()}

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        assert isinstance(model, Encoder)
        losses = -point(model, batch).log_softmax(1)  # (B, T, 2), infinite where a token is not open
        total = losses.gather(1, batch["labels"][:, None]).sum()
        if self.smoothing:
            of_open = losses.masked_fill(~batch["open"][..., None], 0.0).sum(1)
            mean = (of_open / batch["open"].sum(1, keepdim=True)).sum()
            total = (1 - self.smoothing) * total + self.smoothing * mean
        return {"answer": Loss(total, batch["labels"].numel())}

    def validate(self, model: nn.Module, *, scored: int) -> Validation | None:
        if not self.valid:
            return None
        scores = self._read(model)
        spans = self._spans(scores)
        threshold = self._threshold(spans)
        predictions = [
            _text(asked, found.answer(threshold)) for asked, found in zip(self.valid, spans, strict=True)
        ]
        figures = score(predictions, [asked.question.answers for asked in self.valid])
        return Validation(_loss(self.held_rows, scores), figures._asdict(), "f1")

    def settle(self, model: nn.Module) -> dict[str, Content]:
        """How much better than no answer an answer has to be: what gives the held-out questions the best F1."""
        threshold = self._threshold(self._spans(self._read(model)))
        config = self.described.model_copy(update={"threshold": threshold})
        return {CONFIG: config.model_dump_json(indent=2).encode()}

    def _read(self, model: nn.Module) -> list[Scores]:
        assert isinstance(model, Encoder)
        return window_scores(Reader(model), [row.window for row in self.held_rows])

    def _spans(self, scores: Sequence[Scores]) -> list[SpanScores]:
        passages = [asked.passage for asked in self.valid]
        return join_windows(passages, scores, longest=self.described.longest)

    def _threshold(self, spans: Sequence[SpanScores]) -> float | None:
        if not self.problem.answerless:
            return None
        if len({asked.question.impossible for asked in self.valid}) < 2:
            return 0.0  # nothing to choose it by: the likelier of the two
        pairs = list(zip(self.valid, spans, strict=True))
        return best_threshold(
            [found.margin for found in spans],
            given=[f1(_text(asked, found.answer(None)), asked.question.answers) for asked, found in pairs],
            withheld=[f1("", asked.question.answers) for asked in self.valid],
        )


def _hold_out_contexts(questions: list[Question], run: AnswerRun) -> tuple[list[Question], list[Question]]:
    """The questions on most contexts, and those on the others, none of which is learned from."""
    contexts = list(dict.fromkeys(question.context for question in questions))
    if len(contexts) < 2:
        raise UserError(
            f"{', '.join(run.data.train)}: all questions are on one context, so that none can be held out: name others "
            "with --valid"
        )
    held = set(hold_out(contexts, share=run.hold_out, seed=run.train.seed)[1])
    return (
        [question for question in questions if question.context not in held],
        [question for question in questions if question.context in held],
    )


def _training_rows(asked: Sequence[Asked], *, report: Report) -> list[Row]:
    found = []
    for each in asked:
        rows = _rows(each)
        if any(row.labels == (UNKNOWN, UNKNOWN) for row in rows):
            leave_out("without an answer that a window holds whole", each.question.place, report)
        else:
            found += rows
    return found


def _rows(asked: Asked) -> list[Row]:
    """The windows of a question, each with the first of the answers that it holds whole.

    One that holds none says so, even where all questions have an answer, as the code that was published with Devlin et
    al. 2019 has it: or windows without the answer would not have learned to score low beside the one that holds it.
    """
    question, passage = asked
    places = [tokens for span in question.spans if (tokens := passage.tokens(*span)) is not None]
    labels = [_labels(window, places) for window in passage.windows]
    if not question.impossible and all(each is None for each in labels):
        return [Row(window, (UNKNOWN, UNKNOWN), question.place) for window in passage.windows]
    return [
        Row(window, each or (NO_ANSWER, NO_ANSWER), question.place)
        for window, each in zip(passage.windows, labels, strict=True)
    ]


def _labels(window: Window, places: Sequence[Labels]) -> Labels | None:
    """Where in a window the first of the answers that it holds whole stands."""
    for first, last in places:
        if window.start <= first and last < window.start + window.size:
            return first - window.start + window.at, last - window.start + window.at
    return None


def _text(asked: Asked, span: Span | None) -> str:
    return "" if span is None else asked.question.context[span.begin : span.end]


def _loss(rows: Sequence[Row], scores: Sequence[Scores]) -> float:
    """The mean cross-entropy of what is labelled."""
    losses = [
        np.logaddexp.reduce(found, axis=0) - found[row.labels, (0, 1)]
        for row, found in zip(rows, scores, strict=True)
        if row.labels != (UNKNOWN, UNKNOWN)
    ]
    return float(np.mean(losses)) if losses else 0.0
