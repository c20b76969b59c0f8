"""`weft generate`: a language model goes on with a text."""

import json
import math
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from weft.cli.options import Device, Json, Precision
from weft.cli.output import print_json, say
from weft.errors import UserError

__all__ = ["app"]

app = App(name="generate")


@app.default
def generate(
    run: Path,
    /,
    *,
    prompt: str = "",
    tokens: int | None = None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    seed: int | None = None,
    beam: int | None = None,
    schema: Annotated[
        Path | None, Parameter(help="A file with a JSON schema that the text has to meet.")
    ] = None,
    regex: Annotated[str | None, Parameter(help="A regular expression that the text has to meet.")] = None,
    choice: Annotated[
        list[str] | None, Parameter(help="One of the texts to choose from. May be given more than once.")
    ] = None,
    bias: Annotated[
        list[str] | None,
        Parameter(help="A word and what is added to its score, as in 'dog=-5'. May be given more than once."),
    ] = None,
    draft: Annotated[
        Path | None,
        Parameter(help="A smaller model of the same tokenizer, which guesses ahead: the same text, sooner."),
    ] = None,
    lookup: Annotated[
        bool, Parameter(help="Guess ahead from what stands in the text already: the same text, sooner.")
    ] = False,
    stop: Annotated[
        list[str] | None, Parameter(help="End where this is written. May be given more than once.")
    ] = None,
    repetition_penalty: float | None = None,
    no_repeat_ngram: int | None = None,
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
    temperature
        Sample: below 1 is tamer, above 1 wilder.
    top_k
        Sample from this many most likely tokens.
    top_p
        Sample from the likeliest tokens that together have this probability.
    min_p
        Sample from tokens that have at least this share of the likeliest one's probability.
    seed
        Sample: the same seed draws the same.
    beam
        How many hypotheses to keep: 1 is greedy.
    repetition_penalty
        Above 1 makes tokens already used less likely.
    no_repeat_ngram
        Never repeat this many tokens in a row.
    """
    from weft.api import load

    options = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "seed": seed,
        "beams": beam,
        "repetition_penalty": repetition_penalty,
        "no_repeat_ngram": no_repeat_ngram,
        "schema": None if schema is None else read_schema(schema),
        "regex": regex,
        "choices": choice,
        "lookup": lookup or None,
        "bias": None if bias is None else dict(map(weighted, bias)),
    }
    given = {name: value for name, value in options.items() if value is not None}
    if draft is not None:
        given["draft"] = load(draft, task="language-model", device=device, precision=precision)
    generator = load(run, task="language-model", device=device, precision=precision)
    if as_json:
        print_json(generator.generate(prompt, tokens=tokens, stop=stop or (), **given))
        return

    before = [prompt]  # which comes with the first piece: what cannot be written shows nothing

    def write(text: str) -> None:
        for part in (*before, text):
            sys.stdout.write(part)
        sys.stdout.flush()
        before.clear()

    streams = beam in (None, 1)
    found = generator.generate(
        prompt, tokens=tokens, stop=stop or (), stream=write if streams else None, **given
    )
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
