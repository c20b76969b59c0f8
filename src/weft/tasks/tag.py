"""Named entities: a tag for each word, and no tag where it may not stand."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from weft.config import HeadName, ModelConfig, RunConfig, TaggerConfig, TagRun
from weft.data.batches import spread
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.nn.loss import Loss
from weft.runs.folder import Content
from weft.tasks.entities import Sentence, labels_of, read_tagged
from weft.tasks.kept import hold_to_text
from weft.tasks.reading import Beginning, Reader, collate_readings, hold_out, read_states
from weft.tasks.tags import Labels, TagSet, score
from weft.tasks.task import Batch, Problem, Task, Validation
from weft.tasks.word_windows import Window, Windows, predict, read_sentences, spaced
from weft.text.tokenizer import Tokenizer

__all__ = ["Tag", "TagProblem"]

HEADS: tuple[HeadName, ...] = ("tag",)
HELD_OUT = 2000  # sentences, evenly spread: more tell no more, and take their time from training
IGNORED = -1  # the label of a token that is not a word's first


class Row(NamedTuple):
    """A window with its words' labels, and where its sentence stands."""

    window: Window
    labels: Labels
    place: str


class TagProblem(Problem):
    """A tagger's training, from texts with their entities marked."""

    config = TagRun
    table = "tag"
    architecture = "encoder"

    def __init__(self, run: RunConfig) -> None:
        assert isinstance(run, TagRun)
        if run.data.columns is not None:
            raise UserError(
                "--columns names the columns of a table with a header: here the first one is the word and the last one "
                "its tag, so leave it out"
            )
        score((), (), words=())  # without seqeval this fails now, and not at the first validation
        self.run = run
        self.beginning = Beginning(run)
        read = read_tagged(run.data.train, scheme=run.tag.scheme)
        self.labels = labels_of(read.sentences)
        if len(self.labels) < 2:
            raise UserError(f"{', '.join(run.data.train)}: not a single entity to learn from")
        self.notes = [f"training: {line}" for line in read.notes]
        self.given = bool(run.data.valid)
        if self.given:
            held = read_tagged(run.data.valid, scheme=run.tag.scheme)
            self.train, self.valid = read.sentences, held.sentences
            self.notes += [f"held-out: {line}" for line in held.notes]
        elif len(read.sentences) > 1:
            self.train, self.valid = hold_out(read.sentences, share=run.hold_out, seed=run.train.seed)
        else:
            raise UserError(
                f"{', '.join(run.data.train)}: one sentence alone, so that none can be held out: name others with --valid"
            )

    @property
    def about(self) -> str:
        return f"{len(self.train):,} sentences"

    def make_tokenizer(self) -> Tokenizer:
        return self.beginning.make_tokenizer([spaced(sentence) for sentence in self.train])

    def make_task(
        self, folder: Path, *, tokenizer: Tokenizer, begun: bool, tell: Callable[[str], None]
    ) -> "Tag":
        hold_to_text(folder, (*self.train, *self.valid), data=self.run.data, begun=begun)
        return Tag(self, tokenizer=tokenizer)

    def describe(self, model: ModelConfig) -> TaggerConfig:
        return TaggerConfig(
            family=self.beginning.family,
            model=model,
            heads=HEADS,
            labels=self.labels,
            pooling=self.beginning.pooling,
            length=self.run.data.max_tokens,
        )

    def make_model(self, model: ModelConfig) -> Encoder:
        return self.beginning.make_model(model, heads=HEADS, labels=len(self.labels), pooling="first")


class Tag(Task):
    """Cross-entropy over the labels of words, each asked of its first token (Devlin et al. 2019, section 5.3)."""

    shorter = "data.max_tokens to read shorter windows"

    def __init__(self, problem: TagProblem, *, tokenizer: Tokenizer) -> None:
        self.problem = problem
        self.pad = problem.run.model.special.pad
        self.smoothing = problem.run.train.smoothing
        self.tags = TagSet(problem.labels)
        self.maximum = problem.describe(problem.run.model).maximum
        train = read_sentences(problem.train, tokenizer, maximum=self.maximum)
        self.rows = self._rows(problem.train, train)
        if not self.rows:
            raise UserError(f"{', '.join(problem.run.data.train)}: the tokenizer knows none of the words")
        places = spread(len(problem.valid), count=HELD_OUT)
        for sentence in problem.valid:
            self.tags.numbers(sentence)  # those that are not measured on the way too have to be known
        self.valid = [problem.valid[place] for place in places]
        self.held = read_sentences(self.valid, tokenizer, maximum=self.maximum)
        self.windowed = {
            name: sum(len(each.windows) > 1 for each in read)
            for name, read in (("training", train), ("held-out", self.held))
        }

    def _rows(self, sentences: Sequence[Sentence], read: Sequence[Windows]) -> list[Row]:
        rows = []
        for sentence, each in zip(sentences, read, strict=True):
            labels = self.tags.numbers(sentence)
            rows += [Row(window, labels[window.words], sentence.place) for window in each.windows]
        return rows

    @cached_property
    def lengths(self) -> NDArray[np.int64]:  # asked for at each step
        return np.array([[len(row.window.reading.ids)] for row in self.rows], dtype=np.int64)

    @property
    def facts(self) -> dict[str, Any]:
        there = self.problem.valid
        some = "" if self.held_out == len(there) else f"{self.held_out:,} of "
        drawn = "" if self.problem.given else ", drawn from the training text"
        return {
            "sentences": len(self.problem.train),
            "entities": sum(len(sentence.spans) for sentence in self.problem.train),
            "labels": ", ".join(self.problem.labels),
            "held out": f"{some}{len(there):,} sentences{drawn}",
            "tokens": int(self.lengths.sum()),
        }

    @property
    def left_out(self) -> list[str]:
        return [
            *self.problem.notes,
            *(
                f"{name}: sentences longer than {self.maximum} tokens, which are read in windows: {count:,}"
                for name, count in self.windowed.items()
                if count
            ),
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
        """ids and segments (B, T), and labels (B, T) for the first tokens of words."""
        chosen = [self.rows[row] for row in rows]
        batch = collate_readings([row.window.reading for row in chosen], pad=self.pad)
        labels = torch.full_like(batch["ids"], IGNORED)
        for number, row in enumerate(chosen):
            labels[number, torch.from_numpy(row.window.at)] = torch.from_numpy(row.labels)
        return {**batch, "labels": labels}

    def count(self, batch: Batch) -> dict[str, int]:
        return {"words": int((batch["labels"] != IGNORED).sum())}

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        assert isinstance(model, Encoder)
        states, _ = read_states(model, batch)
        labelled = batch["labels"] != IGNORED
        labels = batch["labels"][labelled]
        logits = model.heads["tag"](states[labelled]).float()  # (N, L)
        total = functional.cross_entropy(logits, labels, label_smoothing=self.smoothing, reduction="sum")
        return {"words": Loss(total, len(labels))}

    def validate(self, model: nn.Module, *, scored: int) -> Validation | None:
        assert isinstance(model, Encoder)
        total, count = 0.0, 0
        truth, found = [], []
        predicted = predict(Reader(model), self.held, labels=model.labels)
        for sentence, read, scores in zip(self.valid, self.held, predicted, strict=True):
            labels = self.tags.numbers(sentence)
            words = np.flatnonzero(read.tokens >= 0)
            total -= float(scores[words, labels[words]].sum(dtype=np.float64))
            count += len(words)
            truth.append(sentence.spans)
            found.append(self.tags.spans(self.tags.best(scores, read.tokens)))
        figures = score(truth, found, words=[len(sentence.words) for sentence in self.valid])
        shares = {"precision": figures.precision, "recall": figures.recall, "f1": figures.f1}
        return Validation(total / max(1, count), shares, "f1")

    def settle(self, model: nn.Module) -> dict[str, Content]:
        return {}
