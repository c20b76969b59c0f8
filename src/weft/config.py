"""Every configuration: frozen, strict, and plain data."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["Config", "ModelConfig", "SpecialTokens"]

Activation = Literal["relu", "gelu", "gelu_tanh", "silu", "relu_squared"]
PositionScheme = Literal["sinusoidal", "sinusoidal_halves", "learned", "rotary", "alibi", "t5", "none"]
Rate = Field(default=0.0, ge=0.0, lt=1.0)


class Config(BaseModel):
    """The base of all configurations: frozen, and an unknown or ill-typed key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SpecialTokens(Config):
    """The ids that a model itself needs to know; `start` is what a decoder begins with."""

    pad: int = 0
    start: int = 1
    end: int = 2


class ModelConfig(Config):
    """The shape of a model. Behaviour follows these fields alone, never a model's name."""

    architecture: Literal["seq2seq"] = "seq2seq"
    vocabulary: int = Field(gt=0)
    width: int = Field(gt=0)
    encoder_layers: int = Field(gt=0)
    decoder_layers: int = Field(gt=0)
    heads: int = Field(gt=0)
    kv_heads: int | None = Field(default=None, gt=0)
    feed_forward: int = Field(gt=0)
    activation: Activation = "relu"
    gated: bool = False
    norm: Literal["layer", "rms"] = "layer"
    norm_scale: bool = True
    norm_place: Literal["before", "after"] = "before"
    query_key_norm: bool = False
    bias: bool = True
    position: PositionScheme = "sinusoidal"
    max_length: int = Field(default=1024, gt=0)
    scale_embedding: bool = True
    tie: Literal["three", "two", "none"] = "three"
    output_bias: bool = False
    initialisation: Literal["xavier", "normal"] = "xavier"
    zero_output: bool = False
    dropout: float = Rate
    attention_dropout: float = Rate
    activation_dropout: float = Rate
    special: SpecialTokens = SpecialTokens()

    @property
    def head_width(self) -> int:
        return self.width // self.heads

    @model_validator(mode="after")
    def _shapes_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"heads {self.heads} is not a multiple of kv_heads {self.kv_heads}")
        if self.position in ("rotary", "sinusoidal", "sinusoidal_halves") and self.head_width % 2:
            raise ValueError(f"{self.position} positions need an even head width, not {self.head_width}")
        return self
