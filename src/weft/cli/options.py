"""Options that several commands share."""

from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Group, Parameter

__all__ = ["Device", "From", "Json", "Search", "To"]

From = Annotated[
    str | None, Parameter(name="--from", help="The source's language, where the model knows several.")
]
To = Annotated[
    str | None, Parameter(name="--to", help="The language to translate into, where the model knows several.")
]
Device = Annotated[
    str | None, Parameter(help="Where to compute: cpu, cuda, cuda:1, mps. By default the best there is.")
]
Json = Annotated[bool, Parameter(name="--json", help="Report as JSON, for programs.")]

DEFAULT_BEAMS = 5


@Parameter(name="*", group=Group("Search", sort_key=1))
@dataclass(frozen=True, kw_only=True)
class Search:
    """How translations are searched for; what is not given is the library's default."""

    beam: Annotated[
        int | None,
        Parameter(help="How many hypotheses to keep: 1 is greedy. By default 5, or as many as --nbest."),
    ] = None
    nbest: Annotated[int, Parameter(help="How many translations to give of each text.")] = 1
    length_penalty: Annotated[
        float | None, Parameter(help="Above 1 favours long translations, below 1 short ones.")
    ] = None
    min_length: Annotated[int | None, Parameter(help="The fewest tokens of a translation.")] = None
    max_length: Annotated[int | None, Parameter(help="The most tokens of a translation.")] = None
    repetition_penalty: Annotated[
        float | None, Parameter(help="Above 1 makes tokens already used less likely.")
    ] = None
    no_repeat_ngram: Annotated[int | None, Parameter(help="Never repeat this many tokens in a row.")] = None
    sample: Annotated[
        bool, Parameter(help="Draw translations at random instead of searching for the best.")
    ] = False
    temperature: Annotated[
        float | None, Parameter(help="With --sample: below 1 is bolder in the likely, above 1 wilder.")
    ] = None
    top_k: Annotated[int | None, Parameter(help="With --sample: draw from this many most likely tokens.")] = (
        None
    )
    top_p: Annotated[
        float | None, Parameter(help="With --sample: draw from the likeliest tokens that make up this share.")
    ] = None
    min_p: Annotated[
        float | None, Parameter(help="With --sample: only tokens this likely, relative to the likeliest.")
    ] = None
    seed: Annotated[int | None, Parameter(help="With --sample: the same seed draws the same.")] = None

    def keywords(self) -> dict[str, Any]:
        """What was given, by the names that Python has for it."""
        given = {name: value for name, value in vars(self).items() if value is not None and name != "beam"}
        if self.beam is not None:
            given["beams"] = self.beam
        elif self.sample:
            given["beams"] = 1
        elif self.nbest > DEFAULT_BEAMS:
            given["beams"] = self.nbest
        return given
