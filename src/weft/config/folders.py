"""A model's folder: what `config.json` says of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field

from weft.config.base import Config
from weft.config.model import HeadName, ModelConfig
from weft.config.runs import ClassifyConfig, SummarizeConfig

__all__ = [
    "FOLDERS",
    "AnswererConfig",
    "ClassifierConfig",
    "EncoderConfig",
    "FillerConfig",
    "FolderConfig",
    "GeneratorConfig",
    "ReaderConfig",
    "SummarizerConfig",
    "TaggerConfig",
    "TranslatorConfig",
]


class FolderConfig(Config):
    """A model folder's `config.json`: what the model is, as far as its other files do not say it."""

    task: str
    family: str = "weft"
    model: ModelConfig

    @property
    def facts(self) -> dict[str, Any]:
        """What the model is, to be read."""
        return {"task": self.task}


class TranslatorConfig(FolderConfig):
    """What a translator is.

    `generation` holds fields of SearchConfig that the model wants set, such as tokens it must never write. A model
    with `tags` is told the language to write by the source's first token, and one without `ends_source` reads sources
    without an end token.
    """

    task: Literal["translate"] = "translate"
    directions: tuple[tuple[str, str], ...] = Field(min_length=1)
    tags: bool
    ends_source: bool = True
    generation: dict[str, Any] = Field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        return {"task": self.task, "directions": ", ".join("-".join(pair) for pair in self.directions)}


class SummarizerConfig(FolderConfig):
    """What a summarizer is. `generation` is as a translator's; `source` and `columns` say where texts and summaries stood in
    the training data. It learned from texts of up to `length` tokens.
    """

    task: Literal["summarize"] = "summarize"
    source: SummarizeConfig = SummarizeConfig()
    columns: tuple[str, ...] | None = None
    length: int = Field(gt=1)
    generation: dict[str, Any] = Field(default_factory=dict)


class GeneratorConfig(FolderConfig):
    """A language model. `prefix` stands before each prompt, and `ends` are tokens that end a text beside the end token.

    It learned from rows of `length` tokens; without a length, of as many as the model takes. Texts that begin with a
    `prefix` were read apart, others as one stream. In tables these stood in `text_column`; or what was learned was to
    follow a `prompt_column` with a `completion_column`.
    `generation` holds fields of SearchConfig that the model wants set, such as how it is sampled from.
    """

    task: Literal["language-model"] = "language-model"
    prefix: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    length: int | None = Field(default=None, gt=1)
    text_column: str = "text"
    prompt_column: str | None = None
    completion_column: str | None = None
    generation: dict[str, Any] = Field(default_factory=dict)


class ReaderConfig(FolderConfig):
    """What an encoder with its heads is; `pooling` says how a text's tokens become one vector.

    It reads up to `length` tokens at once, as it learned to; without a length, as many as the model takes.
    """

    heads: tuple[HeadName, ...] = ()
    labels: tuple[str, ...] = ()
    pooling: Literal["first", "mean"] = "first"
    length: int | None = Field(default=None, gt=0)

    @property
    def maximum(self) -> int:
        """The most tokens that are read at once."""
        return min(self.length or self.model.max_length, self.model.max_length)

    @property
    def outputs(self) -> int:
        """How many numbers a classifier or a tagger gives."""
        return len(self.labels)

    @property
    def facts(self) -> dict[str, Any]:
        labels = {"labels": ", ".join(self.labels)} if self.labels else {}
        return {"task": self.task, **labels}


class EncoderConfig(ReaderConfig):
    """An encoder that gives vectors; `normalise` makes each as long as 1."""

    task: Literal["embed"] = "embed"
    normalise: bool = True


class FillerConfig(ReaderConfig):
    """A model that says what hidden tokens were."""

    task: Literal["masked-lm"] = "masked-lm"


class ClassifierConfig(ReaderConfig):
    """A classifier: its labels, and the temperature that its probabilities were calibrated with (Guo et al. 2017).

    A linear model on so many `ngrams` has a `vote` of this weight beside the network's scores.

    It reads two texts if it is of a `pair`; without a word on that, one or two. A `number` has one label, the name of
    what it says, and is predicted as so many `deviation`s from a `mean`. `source` and `columns` say where text and
    label stood in the training data, which is where they are looked for in test data.
    """

    task: Literal["classify"] = "classify"
    kind: Literal["single", "multiple", "number"] = "single"
    pair: bool | None = None
    source: ClassifyConfig = ClassifyConfig()
    columns: tuple[str, ...] | None = None
    ngrams: int = Field(default=0, ge=0)
    vote: float = Field(default=0.0, ge=0)
    temperature: float = Field(default=1.0, gt=0)
    mean: float = 0.0
    deviation: float = Field(default=1.0, gt=0)


class TaggerConfig(ReaderConfig):
    """A tagger: its labels in IOB2, "O" among them."""

    task: Literal["tag"] = "tag"


class AnswererConfig(ReaderConfig):
    """A model that finds answers.

    `threshold` is how much better than no answer one has to be to be given; without it one always is.
    """

    task: Literal["answer"] = "answer"
    length: int = Field(default=256, gt=16)
    stride: int = Field(default=96, ge=0)
    longest: int = Field(default=30, gt=0)
    threshold: float | None = None


FOLDERS: Mapping[str, type[FolderConfig]] = MappingProxyType(
    {
        "translate": TranslatorConfig,
        "summarize": SummarizerConfig,
        "embed": EncoderConfig,
        "masked-lm": FillerConfig,
        "classify": ClassifierConfig,
        "tag": TaggerConfig,
        "answer": AnswererConfig,
        "language-model": GeneratorConfig,
    }
)
"""What `config.json` holds, by its task."""
