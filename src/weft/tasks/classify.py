"""Classification: one label for a text or a pair of texts, several, or a number."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from weft.config import ClassifierConfig, ClassifyConfig, ClassifyRun, HeadName, ModelConfig, RunConfig
from weft.data.sources import Report
from weft.description import CONFIG
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.models.ngrams import NGRAMS, Ngrams
from weft.nn.heads import Pooling
from weft.nn.loss import Loss
from weft.runs.folder import Content
from weft.tasks.classification import Targets, encode, joined, predict, probabilities, score, targets_of
from weft.tasks.kept import hold_to_text
from weft.tasks.labelled import Labelled, names_of, read_labelled
from weft.tasks.ngram_training import fit_ngrams
from weft.tasks.reading import Beginning, Reader, collate_readings, hold_out, read_states
from weft.tasks.task import Batch, Problem, Task, Validation
from weft.text.encode import Reading
from weft.text.tokenizer import Tokenizer

__all__ = ["Classify", "ClassifyProblem", "logits_of"]

HEADS: tuple[HeadName, ...] = ("pooler", "classify")
TEMPERATURES = np.geomspace(0.25, 16.0, 61)
VOTES = (0.0, *np.geomspace(0.1, 30.0, 26))  # weights of the linear model beside the network


class ClassifyProblem(Problem):
    """A classifier's training, from labelled texts."""

    config = ClassifyRun
    table = "classify"
    architecture = "encoder"

    def __init__(self, run: RunConfig) -> None:
        assert isinstance(run, ClassifyRun)
        self.run = run
        self.beginning = Beginning(run)
        self.report, self.held_report = Report(), Report()
        train = self._read(run.data.train, self.report)
        valid = self._read(run.data.valid, self.held_report) if run.data.valid else None
        self.given = valid is not None
        self.labels = _labels(train, run.classify, ", ".join(run.data.train))
        self.train, self.valid = self._hold_out(train) if valid is None else (train, valid)

    def _hold_out(self, train: list[Labelled]) -> tuple[list[Labelled], list[Labelled]]:
        """The training texts and those held out, which have all labels in proportion."""
        labels = None if self._is_number else [example.labels for example in train]
        kept, held = hold_out(train, share=self.run.hold_out, seed=self.run.train.seed, labels=labels)
        if not held or not kept:
            raise UserError(
                f"{', '.join(self.run.data.train)}: too few texts to hold any out and keep one of each label: name others "
                "with --valid"
            )
        return kept, held

    def _read(self, specs: Sequence[str], report: Report) -> list[Labelled]:
        return read_labelled(specs, self.run.classify, columns=self.run.data.columns, report=report)

    @property
    def about(self) -> str:
        return f"{len(self.train):,} texts"

    def make_tokenizer(self) -> Tokenizer:
        texts = [text for example in self.train for text in (example.text, example.pair) if text is not None]
        return self.beginning.make_tokenizer(texts)

    def make_task(
        self, folder: Path, *, tokenizer: Tokenizer, begun: bool, tell: Callable[[str], None]
    ) -> "Classify":
        hold_to_text(folder, (*self.train, *self.valid), data=self.run.data, begun=begun)
        if not begun:
            for line in self.report.lines():
                tell(line)
            for line in self.held_report.lines()[1:]:  # those that are kept are counted with the other facts
                tell(f"held out: {line}")
        return Classify(self, tokenizer=tokenizer)

    def describe(self, model: ModelConfig) -> ClassifierConfig:
        values = np.array([float(example.labels[0]) for example in self.train]) if self._is_number else None
        return ClassifierConfig(
            family=self.beginning.family,
            model=model,
            heads=HEADS,
            labels=self.labels,
            pooling=self._pooling,
            length=self.run.data.max_tokens,
            kind=self.run.classify.kind,
            pair=self.train[0].pair is not None,
            source=self.run.classify.model_copy(update={"label_names": names_of(self.run.classify) or None}),
            columns=self.run.data.columns,
            mean=0.0 if values is None else float(values.mean()),
            deviation=1.0 if values is None else float(values.std()) or 1.0,
        )

    @property
    def _is_number(self) -> bool:
        return self.run.classify.kind == "number"

    @property
    def _pooling(self) -> Pooling:
        return self.run.classify.pooling or self.beginning.pooling

    def make_model(self, model: ModelConfig) -> Encoder:
        return self.beginning.make_model(model, heads=HEADS, labels=len(self.labels), pooling=self._pooling)


class Classify(Task):
    """Cross-entropy over the labels of each text."""

    shorter = "data.max_tokens to read less of each text"

    def __init__(self, problem: ClassifyProblem, *, tokenizer: Tokenizer) -> None:
        self.problem = problem
        self.model_config = problem.run.model
        self.described = problem.describe(problem.run.model)
        self.smoothing = problem.run.train.smoothing
        self.train, self.targets = self._encode(problem.train, tokenizer)
        self.valid, self.valid_targets = self._encode(problem.valid, tokenizer)
        self.weights = self._class_weights() if problem.run.classify.class_weights else None
        wanted = problem.run.classify.ngrams and self._is_label
        self.ngrams = self._fit_ngrams(problem.train, self.targets) if wanted else None
        self.votes = self._vote()

    def _encode(self, examples: Sequence[Labelled], tokenizer: Tokenizer) -> tuple[list[Reading], Targets]:
        readings = encode(examples, tokenizer, maximum=self.described.maximum)
        return readings, targets_of(examples, self.described)

    @property
    def _is_label(self) -> bool:
        return self.described.kind != "number"

    def _fit_ngrams(self, examples: Sequence[Labelled], targets: Targets) -> Ngrams:
        single = self.described.kind == "single"
        eye = np.eye(len(self.described.labels), dtype=np.float32)
        return fit_ngrams(
            [joined(each) for each in examples],
            eye[targets] if single else targets,
            importance=None if self.weights is None else self.weights.numpy()[targets],
        )

    def _vote(self) -> Tensor:
        """The linear model's scores for the held-out texts (N, L)."""
        if self.ngrams is None:
            return torch.zeros(len(self.valid), len(self.described.labels))
        return torch.from_numpy(self.ngrams.score([joined(each) for each in self.problem.valid]))

    def _class_weights(self) -> Tensor:
        """A weight for each class, in inverse proportion to how often it occurs: their mean over the texts is 1."""
        if self.described.kind != "single":
            raise UserError("classify.class_weights are for texts with one label each: leave them out")
        counts = np.bincount(self.targets, minlength=len(self.described.labels))
        return torch.tensor(
            counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1)), dtype=torch.float32
        )

    @cached_property
    def lengths(self) -> NDArray[np.int64]:  # asked for at each step
        return np.array([[len(reading.ids)] for reading in self.train])

    @property
    def facts(self) -> dict[str, Any]:
        held = "" if self.problem.given else ", drawn from the training texts"
        return {
            "texts": len(self.train),
            "held out": f"{len(self.valid):,} texts{held}",
            "labels": ", ".join(self.described.labels),
            "tokens": int(self.lengths.sum()),
        }

    @property
    def left_out(self) -> list[str]:
        cut = sum(reading.over for reading in self.train)
        return [f"{cut:,} texts cut to their first {self.described.maximum} tokens"] if cut else []

    @property
    def held_out(self) -> int:
        return len(self.valid)

    @property
    def scored(self) -> int:
        return self.held_out

    def place(self, row: int) -> str:
        return self.problem.train[row].place

    def collate(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        batch = collate_readings([self.train[row] for row in rows], pad=self.model_config.special.pad)
        return {**batch, "targets": torch.from_numpy(self.targets[np.asarray(rows)])}

    def count(self, batch: Batch) -> dict[str, int]:
        return {"labels": len(batch["targets"])}

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        assert isinstance(model, Encoder)
        return {"labels": self._loss(logits_of(model, batch), batch["targets"])}

    def _loss(self, logits: Tensor, targets: Tensor) -> Loss:
        logits = logits.float()
        if self.described.kind == "single":
            weights = None if self.weights is None else self.weights.to(logits.device)
            total = functional.cross_entropy(
                logits, targets, weight=weights, label_smoothing=self.smoothing, reduction="sum"
            )
        elif self.described.kind == "multiple":
            total = functional.binary_cross_entropy_with_logits(logits, targets, reduction="sum")
        else:
            total = functional.mse_loss(logits[:, 0], targets, reduction="sum")
        return Loss(total, len(targets))

    def validate(self, model: nn.Module, *, scored: int) -> Validation | None:
        assert isinstance(model, Encoder)
        logits = self._predict(model)
        loss = self._loss(logits, torch.from_numpy(self.valid_targets))
        settled = self._settled(logits)
        found = probabilities((logits + settled.vote * self.votes).numpy(), settled)
        scores = score(found, self.valid_targets, self.described)
        goals = {"single": "macro_f1" if self.weights is not None else "accuracy", "multiple": "macro_f1"}
        return Validation(float(loss.total) / loss.count, scores.figures, goals.get(self.described.kind))

    def _predict(self, model: Encoder) -> Tensor:
        """The network's scores for the held-out texts (N, L)."""
        return torch.from_numpy(predict(Reader(model), self.valid, labels=model.labels))

    def settle(self, model: nn.Module) -> dict[str, Content]:
        """The linear model; its vote and the temperature of the sum are those with which the held-out labels are the
        likeliest (Guo et al. 2017, section 4.2). With that decided, it learns from held-out texts that were drawn from the
        training texts, too.
        """
        assert isinstance(model, Encoder)
        config, ngrams = self._settled(self._predict(model)), self.ngrams
        if ngrams is not None and not self.problem.given:
            every = [*self.problem.train, *self.problem.valid]
            ngrams = self._fit_ngrams(every, np.concatenate([self.targets, self.valid_targets]))
            config = config.model_copy(update={"ngrams": len(ngrams.buckets)})
        files: dict[str, Content] = {CONFIG: config.model_dump_json(indent=2).encode()}
        return files if ngrams is None else {**files, NGRAMS: ngrams.save}

    def _settled(self, logits: Tensor) -> ClassifierConfig:
        """The configuration for a network with these scores for the held-out texts (N, L)."""
        if not self._is_label:
            return self.described
        targets = torch.from_numpy(self.valid_targets)
        single = self.described.kind == "single"
        entropy = functional.cross_entropy if single else functional.binary_cross_entropy_with_logits
        _, vote, temperature = min(
            (float(entropy((logits + vote * self.votes) / heat, targets)), vote, heat)
            for vote in (VOTES if self.ngrams is not None else VOTES[:1])
            for heat in TEMPERATURES
        )
        return self.described.model_copy(
            update={
                "ngrams": 0 if self.ngrams is None else len(self.ngrams.buckets),
                "vote": round(float(vote), 4),
                "temperature": round(float(temperature), 4),
            }
        )


def _labels(examples: Sequence[Labelled], config: ClassifyConfig, name: str) -> tuple[str, ...]:
    """The labels there are, in their order; a number has one, its column's name."""
    if config.kind == "number":
        return (config.label_column,)
    labels = sorted({label for example in examples for label in example.labels})
    if len(labels) < 2:
        known = f'only "{labels[0]}"' if labels else "none"
        raise UserError(f"{name}: {known} as a label: a classifier needs two labels or more to tell apart")
    return tuple(labels)


def logits_of(model: Encoder, batch: Batch) -> Tensor:
    """A score for each label (B, L)."""
    states, keep = read_states(model, batch)
    scores: Tensor = model.heads["classify"](model.pooled(states, keep=keep))
    return scores
