"""A trained classifier in use."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from weft import inspect
from weft.config import ClassifierConfig, ClassifyConfig
from weft.data.sources import Report
from weft.errors import UserError, suggest
from weft.models.ngrams import Ngrams
from weft.network import Network
from weft.overrides import validate
from weft.pipelines.embedder import embed
from weft.pipelines.texts import checked_texts, kind_of
from weft.tasks.classification import encode, joined, predict, probabilities, score, targets_of
from weft.tasks.labelled import Labelled, read_labelled
from weft.text.encode import Reading
from weft.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from weft.inspect.readers import Inspected, Question

__all__ = ["Classification", "Classifier", "ClassifierEvaluation", "labelled_where"]

SHOWN = 8  # labels with their probabilities on a page
LIKELY = 0.5  # a label of several is given where it is likelier than not


class Classification(NamedTuple):
    """What a text is: its labels, one unless there may be several, and the calibrated probability of every label.

    A `number` takes the labels' place where that is what the model predicts. `truncated`: only the beginning was read.
    """

    labels: tuple[str, ...]
    probabilities: dict[str, float]
    number: float | None
    truncated: bool

    @property
    def label(self) -> str:
        """The one label."""
        if len(self.labels) != 1:
            raise UserError(f"there are {len(self.labels)} labels: ask for .labels, or for .number")
        return self.labels[0]


IN_TABLE = ("columns", "text_column", "pair_column", "label_column")


def labelled_where(config: ClassifierConfig, given: Mapping[str, Any]) -> ClassifyConfig:
    """Where text and label stand in test data: where they stood in training, but for what is `given`.

    Raises UserError where the model cannot be measured so.
    """
    fields = config.source.model_dump()
    in_table = [name for name in IN_TABLE if given.get(name) is not None]
    if in_table and given.get("label_until") is not None:
        raise UserError(
            f"--label-until is for lines without columns: leave it out, or --{in_table[0].replace('_', '-')}"
        )
    if in_table:
        fields["label_until"] = None
    if given.get("label_until") is not None:
        fields["pair_column"] = None  # such a line is one text
    fields |= {name: value for name, value in given.items() if name != "columns"}
    where = validate(ClassifyConfig, {**fields, "kind": config.kind})
    if config.pair and where.pair_column is None:
        raise UserError("the model reads two texts: name the second one's column with --pair-column")
    if where.pair_column is not None and config.pair is False:
        raise UserError(
            f"the model reads one text, and no second one: leave out --pair-column {where.pair_column}"
        )
    return where


class ClassifierEvaluation(NamedTuple):
    """How good a classifier is on labelled texts.

    `figures` are accuracy and macro F1, from 0 to 1, or of numbers the mean error and Pearson's correlation; `per_label`
    has precision, recall and F1; `confusion` counts, for each true label in the order of `labels`, what was said.
    """

    figures: dict[str, float]
    per_label: dict[str, dict[str, float]]
    labels: tuple[str, ...]
    confusion: list[list[int]] | None
    texts: int
    truncated: int
    left_out: tuple[str, ...]
    texts_per_second: float
    precision: str


class Classifier:
    """A model, its tokenizer and the labels it knows."""

    def __init__(
        self,
        config: ClassifierConfig,
        *,
        network: Network,
        tokenizer: Tokenizer,
        precision: str = "float32",
        ngrams: Ngrams | None = None,
    ) -> None:
        self.config = config
        self.network = network
        self.tokenizer = tokenizer
        self.precision = precision
        self.ngrams = ngrams

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that the model tells apart."""
        return self.config.labels

    @overload
    def classify(self, text: str, *, pair: str | None = None) -> Classification: ...  # type: ignore[overload-overlap]
    @overload
    def classify(self, text: Sequence[str], *, pair: Sequence[str] | None = None) -> list[Classification]: ...
    def classify(
        self, text: str | Sequence[str], *, pair: str | Sequence[str] | None = None
    ) -> Classification | list[Classification]:
        """Classify a text or a list, whose order is kept; `pair` holds the second texts where there are such.

        A text that is longer than those that the model learned from is read as far as they went, and flagged. Raises
        UserError for a text that is blank.
        """
        examples = self._examples(text, pair)
        answers = self._answer(examples)
        return answers[0] if isinstance(text, str) else answers

    def inspect(
        self, text: str, *, out: Path | str, pair: str | None = None, label: str | None = None
    ) -> "Inspected":
        """Classify a text, and write a page that shows what the answer rests on, and all attention behind it.

        `label`: what speaks for this one; by default, for the one that the text gets, or that is the likeliest.
        """
        if not isinstance(text, str):
            raise UserError(f"a text is wanted, not {kind_of(text)}")
        examples = self._examples(text, pair)
        (read,) = encode(examples, self.tokenizer, maximum=self.config.maximum)
        (answer,) = self._answer(examples)
        shares = sorted(answer.probabilities.items(), key=lambda each: -each[1])
        facts = {name: f"{share:.1%}" for name, share in shares[:SHOWN]}
        if answer.truncated:
            facts["read"] = f"the first {len(read.ids)} tokens alone"
        said = ", ".join(f"{name} ({answer.probabilities[name]:.1%})" for name in answer.labels)
        if answer.number is not None:
            said = f"{answer.number:.6g}"
        texts = [text] if pair is None else [text, pair]
        return inspect.inspect_reading(
            self.network.model,
            read,
            tokenizer=self.tokenizer,
            question=self._question(label or (shares[0][0] if shares else None), self._votes(examples)),
            answer=answer,
            title="Classification",
            said=[inspect.Text("Answer", said or "none of the labels")],
            texts=[
                inspect.Text("Text" if pair is None else f"Text {i + 1}", each)
                for i, each in enumerate(texts)
            ],
            facts=facts,
            out=out,
        )

    def embed(self, text: str | Sequence[str], *, truncate: bool = False) -> NDArray[np.float32]:
        """Texts as vectors, see `Embedder.embed`."""
        return embed(text, self.network, tokenizer=self.tokenizer, config=self.config, truncate=truncate)

    def _question(self, label: str | None, votes: NDArray[np.float32]) -> "Question":
        """What speaks for a label: its log-odds, of which its probability is made; or a number itself.

        The words' own `votes` are in it whatever the network sees.
        """

        model = self.network.model

        def logits(states: "Tensor") -> "Tensor":
            scores: Tensor = model.heads["classify"](model.pooled(states))
            return scores + scores.new_tensor(votes)

        if self.config.kind == "number":
            mean, deviation = self.config.mean, self.config.deviation
            return inspect.Question(self.labels[0], lambda states: logits(states)[:, 0] * deviation + mean)
        if label not in self.labels:
            known = ", ".join(self.labels)
            raise UserError(f'no label "{label}"{suggest(str(label), self.labels)} (known: {known})')
        chosen, heat = self.labels.index(label), self.config.temperature
        if self.config.kind == "single":
            return inspect.Question(
                f"log-odds of {label}", lambda states: inspect.log_odds(logits(states) / heat, [chosen])
            )
        return inspect.Question(f"log-odds of {label}", lambda states: logits(states)[:, chosen] / heat)

    def _examples(self, text: str | Sequence[str], pair: str | Sequence[str] | None) -> list[Labelled]:
        """The texts, checked, as labelled ones without a label."""
        texts = checked_texts(text)
        pairs = None if pair is None else checked_texts(pair)
        if pairs is not None and self.config.pair is False:
            raise UserError("the model reads one text at a time, not two: leave out the pair")
        if self.config.pair and (pairs is None or len(pairs) != len(texts)):
            given = "none" if pairs is None else str(len(pairs))
            raise UserError(f"the model reads pairs: {len(texts)} second texts are needed, not {given}")
        examples = [
            Labelled(first, None if pairs is None else pairs[number], (), str(number))
            for number, first in enumerate(texts)
        ]
        for example in examples:
            if not example.text.strip():
                raise UserError(
                    f"text {example.place}, counted from 0, is blank: there is nothing to classify"
                )
        return examples

    def _answer(self, examples: Sequence[Labelled]) -> list[Classification]:
        readings = encode(examples, self.tokenizer, maximum=self.config.maximum)
        found = self._probabilities(examples, readings)
        answers = []
        for reading, row in zip(readings, found.tolist(), strict=True):
            if self.config.kind == "number":
                answers.append(Classification((), {}, row[0], reading.over))
                continue
            named = dict(zip(self.labels, row, strict=True))
            best = max(named, key=lambda label: named[label])
            several = tuple(label for label, share in named.items() if share > LIKELY)
            labels = (best,) if self.config.kind == "single" else several
            answers.append(Classification(labels, named, None, reading.over))
        return answers

    def _probabilities(
        self, examples: Sequence[Labelled], readings: Sequence[Reading]
    ) -> NDArray[np.float32]:
        scores = predict(self.network, readings, labels=len(self.labels))
        return probabilities(scores + self._votes(examples), self.config)

    def _votes(self, examples: Sequence[Labelled]) -> NDArray[np.float32]:
        """What the linear model adds to the network's scores (N, L)."""
        if self.ngrams is None:
            return np.zeros((len(examples), len(self.labels)), dtype=np.float32)
        return self.ngrams.score([joined(each) for each in examples]) * np.float32(self.config.vote)

    def evaluate(
        self,
        data: str | Path | Sequence[str | Path],
        *,
        columns: str | Sequence[str] | None = None,
        **source: Any,
    ) -> ClassifierEvaluation:
        """Accuracy, macro F1 and what was taken for what on labelled texts.

        Text and label are looked for where they stood in training, or where `columns` and other fields of ClassifyConfig
        say. A text that is too long is cut, and counted.
        """
        where = labelled_where(self.config, source if columns is None else {**source, "columns": columns})
        if isinstance(columns, str):
            columns = columns.split(",")
        specs = [str(data)] if isinstance(data, str | Path) else [str(each) for each in data]
        report = Report()
        examples = read_labelled(specs, where, columns=columns or self.config.columns, report=report)
        begin = time.perf_counter()
        readings = encode(examples, self.tokenizer, maximum=self.config.maximum)
        found = self._probabilities(examples, readings)
        seconds = time.perf_counter() - begin
        scores = score(found, targets_of(examples, self.config), self.config)
        return ClassifierEvaluation(
            figures=scores.figures,
            per_label=scores.per_label,
            labels=self.labels,
            confusion=None if scores.confusion is None else scores.confusion.tolist(),
            texts=len(examples),
            truncated=sum(reading.over for reading in readings),
            left_out=tuple(report.lines()[1:]),
            texts_per_second=len(examples) / seconds,
            precision=self.precision,
        )
