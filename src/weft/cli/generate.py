"""`weft generate`: a language model goes on with a text."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import App, Group, Parameter

from weft.cli.options import Device, Json, Precision, in_python
from weft.cli.output import print_json, say
from weft.errors import UserError

__all__ = ["app"]

app = App(name="generate")


@Parameter(name="*", group=Group("Search and sampling", sort_key=1))
@dataclass(frozen=True, kw_only=True)
class Search:
    """How each token is chosen.

    Parameters
    ----------
    beam
        How many hypotheses to keep: 1 is greedy.
    temperature
        Sample: below 1 is tamer, above 1 wilder.
    contrast
        Weigh likely tokens, 4 or --top-k, against how much each repeats what was read: from 0 to 1, such as 0.6.
    top_k
        Sample from this many most likely tokens.
    top_p
        Sample from the likeliest tokens that together have this probability.
    min_p
        Sample from tokens that have at least this share of the likeliest one's probability.
    seed
        Sample: the same seed draws the same.
    repetition_penalty
        Above 1 makes tokens already used less likely, the prompt's included.
    no_repeat_ngram
        Never repeat this many tokens in a row, the prompt's included.
    """

    beam: int | None = None
    contrast: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram: int | None = None


@Parameter(name="*", group=Group("What may be written", sort_key=2))
@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the text has to be, and where it ends.

    Parameters
    ----------
    stop
        End where this is written. May be given more than once.
    schema
        A file with a JSON schema that the text has to meet.
    regex
        A regular expression that the text has to meet.
    choice
        One of the texts to choose from. May be given more than once.
    bias
        A word and what is added to its score, as in 'dog=-5'. May be given more than once.
    """

    stop: list[str] | None = None
    schema: Path | None = None
    regex: str | None = None
    choice: list[str] | None = None
    bias: list[str] | None = None

    def keywords(self) -> dict[str, Any]:
        """What was given, as Python takes it."""
        given = in_python(self)
        if self.schema is not None:
            given["schema"] = read_schema(self.schema)
        if self.bias is not None:
            given["bias"] = dict(map(weighted, self.bias))
        return given


@app.default
def generate(
    run: Path,
    /,
    *,
    prompt: str = "",
    tokens: int | None = None,
    search: Search | None = None,
    rules: Rules | None = None,
    draft: Path | None = None,
    lookup: bool = False,
    device: Device = None,
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Go on with a text; what is written appears as it is written.

    Without a temperature, or another option of sampling, the likeliest token is taken each time.

    Parameters
    ----------
    run
        The folder of a model.
    prompt
        What to go on with.
    tokens
        How many tokens to write at the most: 100 unless it is said, or as many as the model takes.
    draft
        A smaller model of the same tokenizer, which guesses ahead: the same text, sooner.
    lookup
        Guess ahead from what stands in the text already: the same text, sooner.
    """
    from weft.loading import load

    search, rules = search or Search(), rules or Rules()
    options = {"tokens": tokens, "lookup": lookup, **in_python(search), **rules.keywords()}
    if draft is not None:
        options["draft"] = load(draft, task="language-model", device=device, precision=precision)
    generator = load(run, task="language-model", device=device, precision=precision)
    if as_json:
        print_json(generator.generate(prompt, **options))
        return
    before = [prompt]  # which comes with the first piece: what cannot be written shows nothing

    def write(text: str) -> None:
        for part in (*before, text):
            sys.stdout.write(part)
        sys.stdout.flush()
        before.clear()

    streams = search.beam in (None, 1)
    found = generator.generate(prompt, stream=write if streams else None, **options)
    say("".join([*before, "" if streams else found.text]))


def weighted(text: str) -> tuple[str, float]:
    """A word and its weight, from "word=weight"."""
    word, equals, weight = text.rpartition("=")
    try:
        value = float(weight)
    except ValueError:
        value = math.nan
    if not equals or not word or not math.isfinite(value):
        raise UserError(f"--bias {text}: a word and a number, as in 'dog=-5'")
    return word, value


def read_schema(path: Path) -> str:
    """The text of a JSON schema."""
    try:
        schema = path.read_text(encoding="utf-8")
        json.loads(schema)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON: {error}") from error
    return schema
