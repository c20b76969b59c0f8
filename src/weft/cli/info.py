"""`weft info`: what a model is."""

from pathlib import Path

from cyclopts import App

from weft.cli.options import Json
from weft.cli.output import print_facts, print_json

__all__ = ["app"]

app = App(name="info")


@app.default
def info(run: Path, /, *, as_json: Json = False) -> None:
    """Tell what a model is: its languages, size, configuration and training.

    Parameters
    ----------
    run
        The folder of a model.
    """
    from weft.api import info as look

    facts = look(run)
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)
