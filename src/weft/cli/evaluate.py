"""`weft evaluate`: BLEU and chrF on test data."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from weft.cli.options import Device, From, Json, Precision, To
from weft.cli.output import print_facts, print_json
from weft.cli.problems import warn

__all__ = ["app"]

app = App(name="evaluate")


@app.default
def evaluate(
    run: Path,
    /,
    *,
    data: Annotated[list[str], Parameter(help="Test data: 'test.{de,en}', quoted, or a table.")],
    from_language: From = None,
    to_language: To = None,
    columns: Annotated[str | None, Parameter(help="Names for a table's columns, as in en,de.")] = None,
    beam: Annotated[int | None, Parameter(help="How many hypotheses to keep: 1 is greedy.")] = None,
    device: Device = None,
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Translate test data and compare: sacreBLEU's BLEU and chrF, with their signatures.

    A pair with an empty side is left out, counted and named on standard error.

    Parameters
    ----------
    run
        The folder of a model.
    """
    from weft.api import load

    translator = load(run, device=device, precision=precision)
    found = translator.evaluate(
        data,
        from_language=from_language,
        to_language=to_language,
        columns=columns.split(",") if columns else None,
        beams=beam,
    )
    if as_json:
        print_json(found)
    else:
        facts = found._asdict() | {"exact": f"{found.exact:.1%}"}
        print_facts({name: value for name, value in facts.items() if name != "left_out"})
    for line in found.left_out:
        warn(f"weft: warning: {line}")
