"""A run: its data, its tokenizer, its model, how it is trained, and what its task has of its own."""

from typing import Literal, Self

from pydantic import Field, model_validator

from weft.config.base import Config
from weft.config.model import ModelConfig

__all__ = [
    "AnswerConfig",
    "AnswerRun",
    "ClassifyConfig",
    "ClassifyRun",
    "DataConfig",
    "LanguageConfig",
    "LanguageRun",
    "MaskedConfig",
    "MaskedRun",
    "ReadingRun",
    "RunConfig",
    "SummarizeConfig",
    "SummarizeRun",
    "TagConfig",
    "TagRun",
    "TokenizerConfig",
    "TrainConfig",
    "TranslateConfig",
    "TranslateRun",
]


class DataConfig(Config):
    """Where the examples are. `columns` names the columns of a table that has no header."""

    train: tuple[str, ...] = Field(min_length=1)
    valid: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    max_tokens: int = Field(  # a training example with a longer side is left out, and counted, or cut
        default=256,
        ge=6,  # a token of each of two texts, and what stands around them
    )


class TokenizerConfig(Config):
    """How text becomes tokens. `size` None: fitted to the training text. `path`: a tokenizer.json that is there already."""

    kind: Literal["bpe", "unigram", "wordpiece", "words", "characters"] = "bpe"
    size: int | None = Field(default=None, gt=0)
    path: str | None = None


class TranslateConfig(Config):
    """Which languages a model translates: one direction, or from each to each where no direction is set.

    `masked` is the weight of a second loss, masked language modelling on the sources, beside that of the translations. It
    is off: on Multi30k a weight of 0.3 came to 28.6 BLEU on the validation set where none came to 33.0 in the same time.
    """

    from_language: str | None = None
    to_language: str | None = None
    masked: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.from_language is None) != (self.to_language is None):
            raise ValueError("a direction needs both from_language and to_language")
        if self.from_language is not None and self.from_language == self.to_language:
            raise ValueError(f"from_language and to_language are both {self.to_language}")
        return self


class TrainConfig(Config):
    """How a model is trained. The length of the run is one of `minutes`, `steps` and `epochs`.

    `schedule` "linear" warms up, stays, and falls in a straight line over the last `decay` share of the run, which need
    not be known before it begins to fall; "cosine" (Loshchilov and Hutter 2017) and "inverse_sqrt" (Vaswani et al. 2017,
    section 5.3) are the papers'.
    """

    seed: int = Field(default=1, ge=0, lt=2**63)
    minutes: float | None = Field(default=None, gt=0)
    steps: int | None = Field(default=None, gt=0)
    epochs: float | None = Field(default=None, gt=0, le=10_000)
    batch_tokens: int = Field(
        default=4096, gt=0
    )  # of one step, over all processes, on the batch's larger side
    accumulate: int = Field(default=1, gt=0)  # parts that a batch is worked on in
    optimizer: Literal["muon", "adamw"] = "muon"
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    schedule: Literal["linear", "cosine", "inverse_sqrt"] = "linear"
    warmup: int = Field(default=100, ge=0)  # steps
    decay: float = Field(default=0.6, ge=0, le=1)
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    layer_decay: float = Field(default=1.0, gt=0, le=1)  # of the rate, from each layer down to the one below
    average: float = Field(
        default=0.1, ge=0, lt=1
    )  # share of the run, at its end, whose weights are averaged
    validations: int = Field(default=8, ge=1)  # in the whole run
    patience: int | None = Field(default=None, gt=0)  # validations without a gain that end the run early
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    tensorboard: bool = False

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        given = [name for name in ("minutes", "steps", "epochs") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both set: a run has one length")
        return self


class RunConfig(Config):
    """A whole run, resolved: it alone, with the data, reproduces the weights. `preset` is what it was made from."""

    task: str
    preset: str | None = None
    data: DataConfig
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig
    train: TrainConfig = TrainConfig()


class TranslateRun(RunConfig):
    """A run that trains a translator."""

    task: Literal["translate"] = "translate"
    translate: TranslateConfig = TranslateConfig()


class SummarizeConfig(Config):
    """Where the texts stand, and their summaries: in one column, or several of which the first is learned and all are
    references.
    """

    source: str = "text"
    target: tuple[str, ...] = Field(default=("summary",), min_length=1)


class SummarizeRun(RunConfig):
    """A run that trains a summarizer. Without held-out texts, a share `hold_out` of those for training is held out."""

    task: Literal["summarize"] = "summarize"
    hold_out: float = Field(default=0.1, gt=0, lt=1)
    summarize: SummarizeConfig = SummarizeConfig()


class ReadingRun(RunConfig):
    """A run that trains one stack of layers: from scratch, or from the weights in a folder, weft's or Hugging Face's.

    Where there is no held-out text, a share `hold_out` of the training examples is held out.
    """

    from_checkpoint: str | None = None
    hold_out: float = Field(default=0.1, gt=0, lt=1)


class MaskedConfig(Config):
    """Masked language modelling (Devlin et al. 2019, section 3.1).

    A share `rate` of the tokens, or of the words with `whole_words`, is hidden: drawn afresh each time, as RoBERTa has it
    (Liu et al. 2019, section 4.1), or `fixed` for each text, as BERT has it. With `next_sentence` the model also says
    whether two texts follow each other. Texts are packed into rows of `length` tokens.
    """

    rate: float = Field(default=0.15, gt=0, lt=1)
    whole_words: bool = False
    fixed: bool = False
    next_sentence: bool = False
    length: int = Field(default=128, gt=8)


class MaskedRun(ReadingRun):
    """A run that pretrains an encoder on plain text."""

    task: Literal["masked-lm"] = "masked-lm"
    masked: MaskedConfig = MaskedConfig()


class LanguageConfig(Config):
    """Language modelling (Radford et al. 2019): texts are read in rows of `length` tokens.

    As one "stream", in which each text begins where the one before it ended; or "apart", packed into rows in which no
    text sees another, which is for texts that are shorter than a row. A table's texts stand in `text_column`; or
    its prompts in `prompt_column` and what is to follow them in `completion_column`, which alone is learned to be written.
    """

    length: int = Field(default=256, gt=1)
    texts: Literal["stream", "apart"] = "stream"
    text_column: str = "text"
    prompt_column: str | None = None
    completion_column: str | None = None

    @model_validator(mode="after")
    def _both_or_neither(self) -> Self:
        if (self.prompt_column is None) != (self.completion_column is None):
            raise ValueError("prompts and completions need both prompt_column and completion_column")
        return self


class LanguageRun(ReadingRun):
    """A run that trains a language model."""

    task: Literal["language-model"] = "language-model"
    language: LanguageConfig = LanguageConfig()


class ClassifyConfig(Config):
    """What is classified by what: the columns of text, of a second text, and of the label.

    `kind`: one label for each text, several (with `separator` between them), or a number. `label_until`: the label is
    what stands before this in the text. `label_names`: the labels' names where data numbers them from 1, or a file of
    them, a line each. With `ngrams`, a linear model on words and pairs of words votes beside the network. With
    `class_weights`, each class counts alike however rare it is. `pooling`: how a text's tokens become one vector;
    without it as the model that a run begins with has it, else by their mean.
    """

    kind: Literal["single", "multiple", "number"] = "single"
    text_column: str = "text"
    pair_column: str | None = None
    label_column: str = "label"
    label_until: str | None = Field(default=None, min_length=1)
    label_names: str | tuple[str, ...] | None = None
    separator: str = Field(default=",", min_length=1)
    class_weights: bool = False
    ngrams: bool = True
    pooling: Literal["first", "mean"] | None = None


class ClassifyRun(ReadingRun):
    """A run that trains a classifier."""

    task: Literal["classify"] = "classify"
    classify: ClassifyConfig = ClassifyConfig()


class TagConfig(Config):
    """How named entities are marked in the data; "auto" finds out."""

    scheme: Literal["auto", "iob1", "iob2", "bioes"] = "auto"


class TagRun(ReadingRun):
    """A run that trains a tagger of named entities."""

    task: Literal["tag"] = "tag"
    tag: TagConfig = TagConfig()


class AnswerConfig(Config):
    """Long contexts are read in windows of `length` tokens, the question included, that overlap by `stride`."""

    length: int = Field(default=256, gt=16)
    stride: int = Field(default=96, ge=0)
    longest: int = Field(default=30, gt=0)  # tokens of an answer


class AnswerRun(ReadingRun):
    """A run that trains a model to find answers in a text."""

    task: Literal["answer"] = "answer"
    answer: AnswerConfig = AnswerConfig()
