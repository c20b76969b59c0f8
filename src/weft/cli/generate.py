"""`weft generate`: a language model goes on with a text."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from weft.cli.options import Device, Json, Precision
from weft.cli.output import print_json, say

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
    }
    given = {name: value for name, value in options.items() if value is not None}
    generator = load(run, task="language-model", device=device, precision=precision)
    if as_json:
        print_json(generator.generate(prompt, tokens=tokens, stop=stop or (), **given))
        return

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    write(prompt)
    streams = beam in (None, 1)
    found = generator.generate(
        prompt, tokens=tokens, stop=stop or (), stream=write if streams else None, **given
    )
    say("" if streams else found.text)
