"""What stands on an encoder's hidden states: one small layer for each question that is asked of them."""

from typing import Literal, assert_never

from jaxtyping import Bool, Float
from torch import Tensor, nn

from weft.config import HeadName, ModelConfig
from weft.nn.dropout import Dropout
from weft.nn.feed_forward import ACTIVATIONS
from weft.nn.norms import make_norm

__all__ = ["Labels", "MaskedHead", "Pooler", "Pooling", "make_head", "pool"]

Pooling = Literal["first", "mean"]


def pool(
    states: Float[Tensor, "B T D"], *, keep: Bool[Tensor, "B T"] | None, pooling: Pooling
) -> Float[Tensor, "B D"]:
    """One vector for each row: the first token's, or the mean of all that `keep` marks as real (None: all)."""
    if pooling == "first":
        return states[:, 0]
    if keep is None:
        return states.mean(1)
    real = keep[..., None].to(states.dtype)
    return (states * real).sum(1) / real.sum(1).clamp(min=1)


class MaskedHead(nn.Module):
    """What a hidden token was: norm(f(dense(x))) against the vocabulary (Devlin et al. 2019, section 3.1).

    `forward` stops before the vocabulary, whose product the loss runs on labelled positions alone.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]
        self.norm = make_norm(config, config.width)
        self.output = nn.Linear(config.width, config.vocabulary, bias=config.output_bias)

    def forward(self, states: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        transformed: Tensor = self.norm(self.activation(self.dense(states)))
        return transformed

    def logits(self, transformed: Float[Tensor, "*N D"]) -> Float[Tensor, "*N V"]:
        scores: Tensor = self.output(transformed)
        return scores


class Pooler(nn.Module):
    """tanh(dense(x)) of a row's one vector (Devlin et al. 2019, section 3.1)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.width, config.width, bias=config.bias)

    def forward(self, pooled: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        out: Tensor = self.dense(pooled).tanh()
        return out


class Labels(nn.Module):
    """A score for each label, after dropout (Devlin et al. 2019, section 4)."""

    def __init__(self, config: ModelConfig, *, labels: int) -> None:
        super().__init__()
        self.dropout = Dropout(config.dropout)
        self.output = nn.Linear(config.width, labels)

    def forward(self, states: Float[Tensor, "*N D"]) -> Float[Tensor, "*N L"]:
        scores: Tensor = self.output(self.dropout(states))
        return scores


def make_head(name: HeadName, config: ModelConfig, *, labels: int) -> nn.Module:
    """The head of that name; `labels` is how many a classifier or a tagger tells apart."""
    match name:
        case "masked":
            return MaskedHead(config)
        case "pooler":
            return Pooler(config)
        case "next":
            return Labels(config, labels=2)
        case "answer":  # a score for each token as the first one of the answer, and as the last
            return Labels(config, labels=2)
        case "classify" | "tag":
            return Labels(config, labels=labels)
        case _:
            assert_never(name)
