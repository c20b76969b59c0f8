"""Options that several commands share."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

__all__ = ["OPTIONS", "Device", "From", "Json", "Precision", "Search", "To", "in_python"]

From = Annotated[
    str | None, Parameter(name="--from", help="The source's language, where the model knows several.")
]
To = Annotated[
    str | None, Parameter(name="--to", help="The language to translate into, where the model knows several.")
]
Device = Annotated[
    str | None, Parameter(help="Where to compute: cpu, cuda, cuda:1, mps. By default a GPU if there is one.")
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16", "int8"],
    Parameter(help="What to compute in. auto: the fastest that keeps the quality; float32: as trained."),
]
Json = Annotated[bool, Parameter(name="--json", help="Report as JSON, for programs.")]

IN_PYTHON = {"beam": "beams", "ban": "banned_words", "force": "forced_words", "choice": "choices"}


def in_python(options: object) -> dict[str, Any]:
    """What was given of a group of options, by the names that Python has for them."""
    given = {name: value for name, value in vars(options).items() if value is not None}
    return {IN_PYTHON.get(name, name): value for name, value in given.items()}


@Parameter(name="*", group=Group("Search", sort_key=1))
@dataclass(frozen=True, kw_only=True)
class Search:
    """How translations are searched for; what is not given is the library's default.

    Parameters
    ----------
    beam
        How many hypotheses to keep: 1 is greedy. By default what the model asks for, or 5, and at least --nbest.
    nbest
        How many translations to give of each text.
    groups
        Share the beams out among so many groups, which differ from each other by --diversity.
    diversity
        What a group's token costs each group after it, such as 1.
    length_penalty
        Above 1 favours long translations, below 1 short ones.
    min_length
        The fewest tokens of a translation.
    max_length
        The most tokens of a translation.
    repetition_penalty
        Above 1 makes tokens already used less likely.
    no_repeat_ngram
        Never repeat this many tokens in a row.
    ban
        A word or phrase that no translation may hold, as it is written. May be given more than once.
    force
        A word or phrase that every translation has to hold. May be given more than once.
    sample
        Draw translations at random instead of searching for the best.
    temperature
        With --sample: below 1 is tamer, above 1 wilder.
    top_k
        With --sample: draw from this many most likely tokens.
    top_p
        With --sample: draw from the likeliest tokens that together have this probability.
    min_p
        With --sample: draw from tokens that have at least this share of the likeliest one's probability.
    seed
        With --sample: the same seed draws the same.
    """

    beam: int | None = None
    nbest: int = 1
    groups: int | None = None
    diversity: float | None = None
    length_penalty: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram: int | None = None
    ban: list[str] | None = None
    force: list[str] | None = None
    sample: bool = False
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None

    def keywords(self) -> dict[str, Any]:
        """What was given beside `nbest`, by the names that Python has for it."""
        given = in_python(self)
        del given["nbest"]
        if not self.sample:
            del given["sample"]  # a model may have settings of its own
        return given


# The options by the names that the library has for what they set.
OPTIONS = {
    IN_PYTHON.get(field.name, field.name): f"--{field.name.replace('_', '-')}" for field in fields(Search)
}
OPTIONS |= {"banned": "--ban", "forced": "--force", "from_language": "--from", "to_language": "--to"}
