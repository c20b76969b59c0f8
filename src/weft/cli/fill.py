"""`weft fill`: what hidden words may have been."""

from pathlib import Path

from cyclopts import App

from weft.cli.options import Device, Json, Precision
from weft.cli.output import print_json, print_table

__all__ = ["app"]

app = App(name="fill")


@app.default
def fill(
    run: Path,
    text: str,
    /,
    *,
    top: int = 5,
    device: Device = None,
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Say what hidden words may have been.

    Parameters
    ----------
    run
        The folder of a model.
    text
        A text, quoted, with [MASK] in the place of one word or of several.
    top
        How many pieces to give for each mask, the likeliest first.
    """
    from weft.loading import load

    masks = load(run, task="masked-lm", device=device, precision=precision).fill(text, top=top)
    if as_json:
        print_json({"text": text, "masks": masks})
        return
    for number, candidates in enumerate(masks, start=1):
        title = f"mask {number} of {len(masks)}" if len(masks) > 1 else ""
        print_table([candidate._asdict() for candidate in candidates], title=title)
