"""How to search: every choice of decoding, frozen and checked."""

from typing import Literal, Self

from pydantic import Field, model_validator

from weft.config import Config, ModelConfig
from weft.errors import UserError

__all__ = ["SearchConfig", "check_words"]

Tokens = tuple[int, ...]
SAMPLING_ONLY = ("temperature", "top_p", "min_p", "seed")
BEAMS_ONLY = ("early_stopping", "forced", "groups", "diversity")


class SearchConfig(Config):
    """Greedy search with one beam, beam search with more, contrastive search or sampling; and what the output may and must
    hold.

    Lengths count generated tokens, the end token included. A hypothesis scores Σ log p / length **
    length_penalty ("power", as Hugging Face has it) or Σ log p / ((5 + length) / 6) ** length_penalty
    ("gnmt": Wu et al. 2016, section 7). A sentence's search is over when as many hypotheses as there are
    beams are finished, and, unless `early_stopping` is True, the best running one would score no better than
    the worst finished one at its present length (False) or at any (`"never"`).

    Diverse beam search (Vijayakumar et al. 2018) shares the beams out among `groups`: what a group goes on with costs each
    group after it `diversity` nats, which count in the scores. Contrastive search (Su et al. 2022, section 3.2) weighs the
    probabilities of the `top_k` likeliest tokens against how much the state that each would bring resembles one before it,
    of the weight `contrast`.
    """

    beams: int = Field(default=1, ge=1, le=1000)
    nbest: int = Field(default=1, ge=1, le=10_000)
    max_length: int | None = Field(default=None, ge=1)  # None: twice the source's length and 50 more
    min_length: int = Field(default=0, ge=0)
    force_end: bool = False  # the last token at the maximum length is the end token

    length_penalty: float = Field(default=1.0, ge=-5, le=5)
    scoring: Literal["power", "gnmt"] = "power"
    early_stopping: bool | Literal["never"] = False

    groups: int = Field(default=1, ge=1)
    diversity: float = Field(default=0.0, ge=0, le=1000)
    contrast: float = Field(default=0.0, ge=0, lt=1)  # 0: off

    sample: bool = False
    temperature: float = Field(default=1.0, ge=1e-6, le=1000)
    top_k: int = Field(default=0, ge=0)  # 0: all; in contrastive search 4
    top_p: float = Field(default=1.0, gt=0, le=1)
    min_p: float = Field(default=0.0, ge=0, lt=1)
    seed: int = 0

    repetition_penalty: float = Field(default=1.0, ge=0.01, le=100)
    no_repeat_ngram: int = Field(default=0, ge=0)  # 0: repeats are free
    banned: tuple[Tokens, ...] = ()
    forced: tuple[Tokens, ...] = ()  # best with more beams than these have tokens
    renormalise: bool = False  # what is forbidden leaves its probability to the rest

    @model_validator(mode="after")
    def _choices_agree(self) -> Self:
        def changed(names: tuple[str, ...]) -> str:
            fields = type(self).model_fields
            return ", ".join(name for name in names if getattr(self, name) != fields[name].default)

        if not self.sample and (
            names := changed(SAMPLING_ONLY if self.contrast else ("top_k", *SAMPLING_ONLY))
        ):
            raise ValueError(f"{names}: only sampling uses this; set sample too")
        if self.sample and (names := changed(("beams", *BEAMS_ONLY))):
            raise ValueError(f"{names}: only beam search uses this; leave out this or sample")
        if self.contrast and (self.sample or changed(("beams", *BEAMS_ONLY))):
            raise ValueError("contrast suits neither sample nor beams: leave out one of the two")
        if self.beams % self.groups:
            raise ValueError(f"beams {self.beams} is not a multiple of groups {self.groups}")
        if (self.groups > 1) != (self.diversity > 0):
            raise ValueError("groups and diversity go together: set both, or neither")
        if self.groups > 1 and self.forced:
            raise ValueError("groups and forced: leave out one of the two")
        if not self.sample and self.nbest > self.beams:
            raise ValueError(f"nbest {self.nbest} needs beams {self.nbest} or more, not {self.beams}")
        if self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} is more than max_length {self.max_length}")
        if not all(self.banned + self.forced):
            raise ValueError("banned and forced words have at least one token each")
        return self

    def limit(self, source_length: int) -> int:
        """The most tokens that may be generated for a source of this many."""
        return self.max_length if self.max_length is not None else 2 * source_length + 50

    def normaliser(self, length: int) -> float:
        """What the sum of a hypothesis' log-probabilities is divided by.

        >>> SearchConfig(length_penalty=2.0).normaliser(4)
        16.0
        """
        base = length if self.scoring == "power" else (5 + length) / 6
        return float(base**self.length_penalty)


def check_words(model: ModelConfig, config: SearchConfig) -> None:
    """Raise UserError for what the model cannot do."""
    bounded = model.recurrence is None
    if bounded and config.max_length is not None and config.max_length > model.max_length:
        raise UserError(
            f"max_length {config.max_length} is more than the {model.max_length} tokens the model takes"
        )
    for name, words in (("banned", config.banned), ("forced", config.forced)):
        unknown = [token for word in words for token in word if not 0 <= token < model.vocabulary]
        if unknown:
            raise UserError(
                f"{name}: the model has no token {unknown[0]}, its vocabulary ends at {model.vocabulary - 1}"
            )
