"""The shape of a model."""

from itertools import pairwise
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from weft.config.base import Config
from weft.config.constants import LAYER_EPSILON, RMS_EPSILON

__all__ = [
    "Activation",
    "Adaptive",
    "Cluster",
    "HeadName",
    "ModelConfig",
    "NgramVectors",
    "Recurrence",
    "RotaryScaling",
    "SpecialTokens",
]

HeadName = Literal["masked", "pooler", "next", "classify", "tag", "answer"]
Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "relu_squared"]
PositionScheme = Literal["sinusoidal", "sinusoidal_halves", "learned", "rotary", "alibi", "t5", "none"]
Rate = Field(default=0.0, ge=0.0, lt=1.0)


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
    the most. Distances from `clamp` on are one and the same. A `pointer` copies what followed any of so many positions
    before a segment, or of those in it; 0: there is none. With `shared_biases` all layers have the same two biases of
    attention, as in the paper; without, each its own, as in the large published model.
    """

    memory: int = Field(default=256, gt=0)
    pointer: int = Field(default=0, ge=0)
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


class NgramVectors(Config):
    """Vectors of the last two to `longest` tokens beside those of the last one, in a table of `rows` for each length, which
    n-grams that hash alike share (Huang et al. 2025, section 3.1). In training, a share `dropout` of them is left out.
    `longest` 1: there are none."""

    longest: int = Field(default=5, ge=1, le=16)
    rows: int = Field(default=16_384, gt=0, le=2**31)
    dropout: float = Rate


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
    whose relative positions are its own (`position` "none"), and may have an `adaptive` vocabulary. All but encoders may
    know `ngrams`, too. A "seq2seq" with a `pointer` may copy tokens of its source. With a `window`, a
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
    ngrams: NgramVectors | None = None
    pointer: bool = False
    dropout: float = Rate
    attention_dropout: float = Rate
    activation_dropout: float = Rate
    special: SpecialTokens = SpecialTokens()

    @property
    def kin(self) -> Literal["seq2seq", "encoder", "decoder"]:
        """The architecture that this is one of: a transformer-xl is a decoder."""
        return "decoder" if self.architecture == "transformer-xl" else self.architecture

    @property
    def head_width(self) -> int:
        return self.head_size or self.width // self.heads

    @property
    def groups(self) -> int:
        """The heads of keys and values, each for as many of queries."""
        return self.kv_heads or self.heads

    @property
    def epsilon(self) -> float:
        """What stands beneath the root of the model's norms."""
        return self.norm_epsilon or (LAYER_EPSILON if self.norm == "layer" else RMS_EPSILON)

    @property
    def knows_ngrams(self) -> bool:
        """Whether there are vectors of more than single tokens."""
        return self.ngrams is not None and self.ngrams.longest > 1

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

    @property
    def tables(self) -> tuple[Cluster, ...]:
        """The clusters that have a table each; where all are of one width, a single table does for all."""
        if (self.adaptive or Adaptive()).divide > 1:
            return self.clusters
        return (self.clusters[0]._replace(end=self.vocabulary),)

    @property
    def projected(self) -> bool:
        """Whether vectors are widened at all; where widths are divided, even those that are as wide as the model are."""
        return (self.adaptive or Adaptive()).divide > 1 or self.clusters[0].width != self.width

    @model_validator(mode="after")
    def _layers_suit(self) -> Self:
        for side in ("encoder", "decoder"):
            layers = getattr(self, f"{side}_layers")
            if (self.kin in ("seq2seq", side)) != (layers > 0):
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
    def _extensions_suit(self) -> Self:
        if self.ngrams is not None and self.kin == "encoder":
            raise ValueError(f"ngrams does not suit the architecture {self.architecture}")
        if self.pointer and self.kin != "seq2seq":
            raise ValueError(f"pointer does not suit the architecture {self.architecture}")
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
        if self.heads % self.groups:
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.position in ("rotary", "sinusoidal", "sinusoidal_halves") and self.head_width % 2:
            raise ValueError(f"{self.position} positions need an even head width, not {self.head_width}")
        return self
