"""`weft evaluate`: how good a model is on test data."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from weft.cli.options import Device, From, Json, Precision, To
from weft.cli.output import print_facts, print_json, print_table
from weft.cli.problems import warn
from weft.config import ClassifierConfig, FolderConfig
from weft.errors import UserError

__all__ = ["app"]

app = App(name="evaluate")

# What each task's measuring takes besides the data.
OPTIONS = {
    "language-model": (
        "columns",
        "text_column",
        "prompt_column",
        "completion_column",
        "stride",
        "memory",
    ),
    "translate": ("from_language", "to_language", "columns", "beams"),
    "summarize": ("source", "target", "columns", "beams"),
    "tag": ("scheme",),
    "classify": ("columns", "text_column", "pair_column", "label_column", "label_until"),
}
NAMES = {
    "from_language": "--from",
    "to_language": "--to",
    "columns": "--columns",
    "text_column": "--text-column",
    "prompt_column": "--prompt-column",
    "completion_column": "--completion-column",
    "pair_column": "--pair-column",
    "label_column": "--label-column",
    "label_until": "--label-until",
    "scheme": "--scheme",
    "stride": "--stride",
    "memory": "--memory",
    "source": "--source",
    "target": "--target",
    "beams": "--beam",
}


@app.default
def evaluate(
    run: Path,
    /,
    *,
    data: Annotated[list[str], Parameter(help="Test data, in the forms that training takes.")],
    from_language: From = None,
    to_language: To = None,
    columns: Annotated[str | None, Parameter(help="Names for a table's columns, in their order.")] = None,
    text_column: Annotated[str | None, Parameter(help="The column of the text, if not where it was.")] = None,
    prompt_column: Annotated[
        str | None, Parameter(help="The column of a language model's prompts, likewise, and")
    ] = None,
    completion_column: Annotated[
        str | None, Parameter(help="that of what it is to write after them.")
    ] = None,
    pair_column: Annotated[str | None, Parameter(help="The second text of a pair, likewise.")] = None,
    label_column: Annotated[str | None, Parameter(help="A classifier's label, likewise.")] = None,
    label_until: Annotated[
        str | None, Parameter(help="Lines whose label is the first word, up to this, as in training.")
    ] = None,
    scheme: Annotated[
        Literal["iob1", "iob2", "bioes"] | None,
        Parameter(help="What CoNLL's tags mean, if they do not tell."),
    ] = None,
    stride: Annotated[
        int | None, Parameter(help="A language model's rows overlap, each begins so many tokens further on.")
    ] = None,
    memory: Annotated[
        int | None,
        Parameter(help="A Transformer-XL sees so many tokens before a row, if not as many as in training."),
    ] = None,
    source: Annotated[
        str | None, Parameter(help="The column of the texts to summarize, if not where it was.")
    ] = None,
    target: Annotated[list[str] | None, Parameter(help="The columns of their summaries, likewise.")] = None,
    beam: Annotated[int | None, Parameter(help="How many hypotheses to keep: 1 is greedy.")] = None,
    device: Device = None,
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Measure a model on test data, as its task is measured: by BLEU and chrF, accuracy and macro F1, entity F1, exact
    match, ROUGE or perplexity.

    What cannot be measured is left out, counted and named on standard error.

    Parameters
    ----------
    run
        The folder of a model.
    """
    from weft.loading import describe, load

    options = {
        "from_language": from_language,
        "to_language": to_language,
        "columns": columns.split(",") if columns else None,
        "text_column": text_column,
        "prompt_column": prompt_column,
        "completion_column": completion_column,
        "pair_column": pair_column,
        "label_column": label_column,
        "label_until": label_until,
        "scheme": scheme,
        "stride": stride,
        "memory": memory,
        "source": source,
        "target": target,
        "beams": beam,
    }
    given = {name: value for name, value in options.items() if value is not None}
    check(describe(run), given)
    model = load(run, device=device, precision=precision)
    found = model.evaluate(data, **given)
    if as_json:
        print_json(found)
    else:
        report(found._asdict())
    for line in found.left_out:
        warn(f"weft: warning: {line}")


def check(config: FolderConfig, given: dict[str, Any]) -> None:
    """Refuse what cannot be measured, or not with these options, before a model is loaded."""
    from weft.pipelines.classifier import labelled_where

    if config.task in ("masked-lm", "embed"):
        raise UserError(f"a model for the task {config.task} has no test of its own")
    if unknown := set(given) - set(OPTIONS.get(config.task, ())):
        raise UserError(f"a model for the task {config.task} is measured without {NAMES[min(unknown)]}")
    if isinstance(config, ClassifierConfig):
        labelled_where(config, given)


def report(found: dict[str, Any]) -> None:
    """An evaluation for people: figures, then a line for each label, then what was taken for what."""
    facts = {**found.pop("figures", {}), **found}
    if "exact" in facts and "direction" in facts:
        facts["exact"] = f"{facts['exact']:.1%}"
    tables = {name: facts.pop(name, None) for name in ("left_out", "per_label", "per_type", "confusion")}
    labels = facts.pop("labels", ())
    print_facts(facts)
    if each := tables["per_label"] or tables["per_type"]:
        print_table([{"label": label, **figures} for label, figures in each.items()], title="Labels")
    if tables["confusion"]:
        rows = [
            {"true label": label, **dict(zip(labels, counts, strict=True))}
            for label, counts in zip(labels, tables["confusion"], strict=True)
        ]
        print_table(rows, title="What each was taken for")
