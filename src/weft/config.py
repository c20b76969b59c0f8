"""Every configuration: frozen, strict, and plain data."""

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "FOLDERS",
    "Activation",
    "Adaptive",
    "AnswerConfig",
    "AnswerRun",
    "AnswererConfig",
    "ClassifierConfig",
    "ClassifyConfig",
    "ClassifyRun",
    "Cluster",
    "Config",
    "DataConfig",
    "EncoderConfig",
    "FillerConfig",
    "FolderConfig",
    "HeadName",
    "LanguageConfig",
    "LanguageRun",
    "MaskedConfig",
    "MaskedRun",
    "ModelConfig",
    "ReaderConfig",
    "ReadingRun",
    "Recurrence",
    "RotaryScaling",
    "RunConfig",
    "SpecialTokens",
    "TagConfig",
    "TagRun",
    "TaggerConfig",
    "TokenizerConfig",
    "TrainConfig",
    "TranslateConfig",
    "TranslateRun",
    "TranslatorConfig",
]

HeadName = Literal["masked", "pooler", "next", "classify", "tag", "answer"]
Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "relu_squared"]
PositionScheme = Literal["sinusoidal", "sinusoidal_halves", "learned", "rotary", "alibi", "t5", "none"]
Rate = Field(default=0.0, ge=0.0, lt=1.0)


class Config(BaseModel):
    """The base of all configurations: frozen; an unknown or ill-typed key, or a number that is not finite, is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class SpecialTokens(Config):
    """The ids that a model itself needs to know.

    `start` is what a decoder begins with and what stands before a text that is read; `mask` hides a token.
    """

    pad: int = 0
    start: int = 1
    end: int = 2
    mask: int | None = None


class RotaryScaling(Config):
    """How rotary positions reach further than the `original_length` that they were trained for.

    "linear": all angles are divided by `factor` (Chen et al. 2023, section 3.2). "llama3": those that turn less than
    `slow` times within the original length are, those that turn more than `fast` times are not, and between them is a
    ramp (Grattafiori et al. 2024, as published). "yarn": such a ramp over the dimensions, and scores that are sharper by
    `attention` (Peng et al. 2024, section 3).
    """

    kind: Literal["linear", "llama3", "yarn"]
    factor: float = Field(ge=1)
    original_length: int = Field(gt=0)
    slow: float = Field(default=1.0, gt=0)
    fast: float = Field(default=4.0, gt=0)
    attention: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _ramp_rises(self) -> Self:
        if self.fast <= self.slow:
            raise ValueError(f"fast {self.fast:g} is not more than slow {self.slow:g}")
        return self


class Recurrence(Config):
    """The memory of Transformer-XL (Dai et al. 2019): each layer sees, beside a segment, `memory` positions before it.

    With `same_length` no position sees more than `memory` of them, itself included, where else the last of a segment see
    the most. Distances from `clamp` on are one and the same. With `shared_biases` all layers have the same two biases of
    attention, as in the paper; without, each its own, as in the large published model.
    """

    memory: int = Field(gt=0)
    same_length: bool = False
    clamp: int | None = Field(default=None, gt=0)
    shared_biases: bool = True


class Adaptive(Config):
    """Adaptive input (Baevski and Auli 2019, section 3) and softmax (Grave et al. 2017): rare tokens get narrow vectors.

    Each of the `cutoffs` is the first id of a further cluster, whose vectors are `divide` times as narrow as those of the
    one before it; the first are `width` wide, or as wide as the model. With `tie_projections`, what widens a vector also
    narrows a state for the softmax, for all clusters but the first, as in the published code.
    """

    cutoffs: tuple[int, ...] = ()
    divide: int = Field(default=1, ge=1)
    width: int | None = Field(default=None, gt=0)
    tie_projections: bool = True

    @model_validator(mode="after")
    def _cutoffs_rise(self) -> Self:
        if any(after <= before for before, after in pairwise((0, *self.cutoffs))):
            raise ValueError(f"cutoffs {list(self.cutoffs)} do not rise from above 0")
        return self


class Cluster(NamedTuple):
    """The tokens from `first` up to, not including, `end`, and the width of their vectors."""

    first: int
    end: int
    width: int


# What attention and the stack of a transformer-xl do not do.
_NOT_RECURRENT = (
    "kv_heads",
    "query_key_norm",
    "query_key_value_bias",
    "window",
    "segments",
    "embedding_norm",
)


class ModelConfig(Config):
    """The shape of a model. Behaviour follows these fields alone, never a model's name.

    An "encoder" has no decoder layers, a "decoder" no encoder layers. A "transformer-xl" is a decoder with a `recurrence`,
    whose relative positions are its own (`position` "none"), and may have an `adaptive` vocabulary. With a `window`, a
    layer's tokens see those less than so many positions away, but for each `global_every`th layer from the first one on,
    where all see all; 0: there is none. `head_size` is a head's width where it is not what the heads share of the model's.
    `query_key_value_bias` None: as `bias`.
    """

    architecture: Literal["seq2seq", "encoder", "decoder", "transformer-xl"] = "seq2seq"
    vocabulary: int = Field(gt=0)
    width: int = Field(gt=0)
    encoder_layers: int = Field(default=0, ge=0)
    decoder_layers: int = Field(default=0, ge=0)
    heads: int = Field(gt=0)
    kv_heads: int | None = Field(default=None, gt=0)
    head_size: int | None = Field(default=None, gt=0)
    feed_forward: int = Field(gt=0)
    activation: Activation = "relu"
    gated: bool = False
    norm: Literal["layer", "rms"] = "layer"
    norm_scale: bool = True
    norm_place: Literal["before", "after"] = "before"
    norm_epsilon: float | None = Field(default=None, gt=0)
    embedding_norm: bool = False
    query_key_norm: bool = False
    bias: bool = True
    query_key_value_bias: bool | None = None
    position: PositionScheme = "sinusoidal"
    position_offset: int = Field(default=0, ge=0)
    rotary_base: float = Field(default=10_000.0, gt=1)
    rotary_scaling: RotaryScaling | None = None
    max_length: int = Field(default=1024, gt=0)
    window: int | None = Field(default=None, gt=0)
    global_every: int = Field(default=3, ge=0)
    segments: int = Field(default=0, ge=0)
    scale_embedding: bool = True
    tie: Literal["three", "two", "none"] = "three"
    output_bias: bool = False
    initialisation: Literal["xavier", "normal"] = "xavier"
    zero_output: bool = False
    recurrence: Recurrence | None = None
    adaptive: Adaptive | None = None
    dropout: float = Rate
    attention_dropout: float = Rate
    activation_dropout: float = Rate
    special: SpecialTokens = SpecialTokens()

    @property
    def head_width(self) -> int:
        return self.head_size or self.width // self.heads

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """The vocabulary's, the most frequent tokens first; a single one where it is not adaptive."""
        adaptive = self.adaptive or Adaptive()
        width = adaptive.width or self.width
        bounds = pairwise((0, *adaptive.cutoffs, self.vocabulary))
        return tuple(
            Cluster(first, end, width // adaptive.divide**number)
            for number, (first, end) in enumerate(bounds)
        )

    @model_validator(mode="after")
    def _layers_suit(self) -> Self:
        for side in ("encoder", "decoder"):
            layers = getattr(self, f"{side}_layers")
            sided = "decoder" if self.architecture == "transformer-xl" else self.architecture
            if (sided in ("seq2seq", side)) != (layers > 0):
                raise ValueError(f"{side}_layers {layers} do not suit the architecture {self.architecture}")
        return self

    @model_validator(mode="after")
    def _recurrence_suits(self) -> Self:
        if self.architecture != "transformer-xl":
            for name in ("recurrence", "adaptive"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} does not suit the architecture {self.architecture}")
            return self
        if self.recurrence is None:
            raise ValueError("a transformer-xl needs a recurrence, with the length of its memory")
        if self.position != "none":
            raise ValueError(f'position "{self.position}": a transformer-xl\'s are its own, say "none"')
        fields = type(self).model_fields
        for name in _NOT_RECURRENT:
            if getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} does not suit the architecture transformer-xl")
        return self

    @model_validator(mode="after")
    def _clusters_divide(self) -> Self:
        if self.clusters[-1].first >= self.vocabulary:
            raise ValueError(
                f"cutoff {self.clusters[-1].first} is not within the vocabulary of {self.vocabulary}"
            )
        if self.clusters[-1].width == 0:
            raise ValueError(f"vectors {self.clusters[0].width} wide cannot be so often divided")
        return self

    @model_validator(mode="after")
    def _shapes_divide(self) -> Self:
        if self.head_size is None and self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.position in ("rotary", "sinusoidal", "sinusoidal_halves") and self.head_width % 2:
            raise ValueError(f"{self.position} positions need an even head width, not {self.head_width}")
        return self


class DataConfig(Config):
    """Where the examples are. `columns` names the columns of a table that has no header."""

    train: tuple[str, ...] = Field(min_length=1)
    valid: tuple[str, ...] = ()
    columns: tuple[str, ...] | None = None
    max_tokens: int = Field(
        default=256, gt=0
    )  # a training example with a longer side is left out, and counted


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
    text sees another, which is for texts that are shorter than a row. A table's texts stand in `text_column`.
    """

    length: int = Field(default=256, gt=1)
    texts: Literal["stream", "apart"] = "stream"
    text_column: str = "text"


class LanguageRun(ReadingRun):
    """A run that trains a language model."""

    task: Literal["language-model"] = "language-model"
    language: LanguageConfig = LanguageConfig()


class ClassifyConfig(Config):
    """What is classified by what: the columns of text, of a second text, and of the label.

    `kind`: one label for each text, several (with `separator` between them), or a number. `label_until`: the label is what
    stands before this in the text. `label_names`: a file with the labels' names, a line each, where data numbers them from
    1. With `class_weights`, each class counts alike however rare it is. `pooling`: how a text's tokens become one vector;
    without it as the model that a run begins with has it, else by their mean.
    """

    kind: Literal["single", "multiple", "number"] = "single"
    text_column: str = "text"
    pair_column: str | None = None
    label_column: str = "label"
    label_until: str | None = Field(default=None, min_length=1)
    label_names: str | None = None
    separator: str = Field(default=",", min_length=1)
    class_weights: bool = False
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
    with `tags` is told the language to write by the source's first token.
    """

    task: Literal["translate"] = "translate"
    directions: tuple[tuple[str, str], ...] = Field(min_length=1)
    tags: bool
    generation: dict[str, Any] = Field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        return {"task": self.task, "directions": ", ".join("-".join(pair) for pair in self.directions)}


class GeneratorConfig(FolderConfig):
    """A language model. `prefix` stands before each prompt, and `ends` are tokens that end a text beside the end token.

    It learned from rows of `length` tokens; without a length, of as many as the model takes. Texts that begin with a
    `prefix` were read apart, others as one stream.
    `generation` holds fields of SearchConfig that the model wants set, such as how it is sampled from.
    """

    task: Literal["language-model"] = "language-model"
    prefix: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    length: int | None = Field(default=None, gt=1)
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

    A `number` has one label, the name of what it says, and is predicted as so many `deviation`s from a `mean`. `source`
    and `columns` say where text and label stood in the training data, which is where they are looked for in test data.
    """

    task: Literal["classify"] = "classify"
    kind: Literal["single", "multiple", "number"] = "single"
    pair: bool = False
    source: ClassifyConfig = ClassifyConfig()
    columns: tuple[str, ...] | None = None
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
        "embed": EncoderConfig,
        "masked-lm": FillerConfig,
        "classify": ClassifierConfig,
        "tag": TaggerConfig,
        "answer": AnswererConfig,
        "language-model": GeneratorConfig,
    }
)
"""What `config.json` holds, by its task."""
