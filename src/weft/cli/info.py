"""`weft info`: what a model is."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cyclopts import App

from weft.cli.options import Json
from weft.cli.output import print_facts, print_json
from weft.cli.train import outcome

__all__ = ["app"]

app = App(name="info")


@app.default
def info(run: Path, /, *, as_json: Json = False) -> None:
    """Tell what a model is: its languages, size and configuration, and how its training went.

    Parameters
    ----------
    run
        The folder of a model.
    """
    from weft.facts import info as look

    facts = look(run)
    if as_json:
        print_json(facts)
        return
    if (result := facts.pop("result", None)) is not None:
        facts |= outcome(result)
    settings = facts.pop("run", None) or {"model": facts["model"]}
    print_facts({name: value for name, value in facts.items() if name != "model"})
    print_facts(dict(flat(settings)), title="Settings")


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings by their whole names, as --set takes them.

    >>> dict(flat({"task": "translate", "model": {"width": 64}}))
    {'task': 'translate', 'model.width': 64}
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
