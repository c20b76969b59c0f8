"""`weft inspect`: where each head looked."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from weft.cli.lines import refuse_existing
from weft.cli.options import Device, From, Json, To
from weft.cli.output import print_json, say

__all__ = ["app"]

app = App(name="inspect")


@app.default
def inspect(
    run: Path,
    text: str,
    /,
    *,
    out: Annotated[Path, Parameter(help="The page to write, as page.html.")],
    overwrite: Annotated[bool, Parameter(help="Replace --out if it exists.")] = False,
    from_language: From = None,
    to_language: To = None,
    beam: Annotated[int | None, Parameter(help="How many hypotheses to keep: 1 is greedy.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write one page, which needs no network, with the translation of a text and every head's attention.

    Parameters
    ----------
    run
        The folder of a model.
    text
        The text to translate, quoted.
    """
    from weft.api import load_for

    refuse_existing(out, overwrite=overwrite)
    translator = load_for("translate", run, device=device, precision="float32")
    answer = translator.inspect(
        text, out=out, from_language=from_language, to_language=to_language, beams=beam
    )
    if as_json:
        print_json({"page": out, "translation": answer.as_dict()})
    else:
        say(answer.text)
        say(f"Attention: {out}")
