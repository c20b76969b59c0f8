"""`weft inspect`: where each head looked, and what an answer rests on."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from weft.cli.lines import refuse_existing
from weft.cli.options import Device, From, Json, To
from weft.cli.output import print_json, say
from weft.errors import UserError

__all__ = ["app"]

app = App(name="inspect")

# What each task's pages can be asked beside a text, by the names that Python has for it.
OF_TASK = {
    "translate": {"from_language": "--from", "to_language": "--to", "beams": "--beam"},
    "summarize": {"beams": "--beam"},
    "classify": {"pair": "--pair", "label": "--label"},
    "tag": {"entity": "--entity"},
    "answer": {"question": "--question"},
}


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
    pair: Annotated[str | None, Parameter(help="The second text, where the model reads two.")] = None,
    label: Annotated[
        str | None, Parameter(help="Show what speaks for this label; by default, for the likeliest.")
    ] = None,
    entity: Annotated[
        int | None, Parameter(help="Show what speaks for this entity, counted from 1; by default the first.")
    ] = None,
    question: Annotated[str | None, Parameter(help="The question that the text is to answer.")] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write one page, which needs no network, with what a model makes of a text, what that rests on, and every head's
    attention.

    Parameters
    ----------
    run
        The folder of a model.
    text
        The text to read, quoted: to translate, to summarize, to classify, to find names or an answer in, or to read on from.
    """
    from weft.description import read_config
    from weft.loading import load

    refuse_existing(out, overwrite=overwrite)
    given = {
        "from_language": from_language,
        "to_language": to_language,
        "beams": beam,
        "pair": pair,
        "label": label,
        "entity": entity,
        "question": question,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    read_config(run)  # a model that runs elsewhere cannot be looked into
    model = load(run, device=device, precision="float32")
    task = model.config.task
    refuse_unfit(asked, task=task, run=run)
    found = model.inspect(text, out=out, **asked)
    if as_json:
        print_json({"page": out, **report(found, task=task)})
    else:
        said = found.text if task in ("translate", "summarize") else found.said
        say(*filter(None, [said]), f"Attention: {out}")


def refuse_unfit(asked: dict[str, Any], *, task: str, run: Path) -> None:
    """Raise a UserError where an option is given that the model's task knows nothing of, or a question is missing."""
    own = OF_TASK.get(task, {})
    for options in OF_TASK.values():
        for name, option in options.items():
            if name in asked and name not in own:
                takes = f", which takes {', '.join(own.values())}" if own else ""
                raise UserError(f"{option} is nothing to {run}, a model for the task {task}{takes}")
    if task == "answer" and "question" not in asked:
        raise UserError(f"{run} answers questions on a text: ask one with --question")


def report(found: Any, *, task: str) -> dict[str, Any]:
    """What was found, for programs."""
    if task == "translate":
        return {"translation": found.as_dict()}
    if task == "summarize":
        return {"summary": found}
    sums = found.attribution
    if sums is None:
        return {"answer": found.answer}
    return {
        "answer": found.answer,
        "explained": found.name,
        "value": sums.value,
        "hidden": sums.baseline,
        "residual": sums.residual,
        "steps": sums.steps,
        "tokens": found.marks,
    }
