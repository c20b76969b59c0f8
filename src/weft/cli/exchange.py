"""`weft import` and `weft export`: models from and to the layouts of others."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from weft.cli.options import Json
from weft.cli.output import label, print_facts, print_json, print_table
from weft.cli.problems import warn
from weft.errors import UserError

__all__ = ["export_app", "import_app"]

import_app = App(name="import")
export_app = App(
    name="export",
    help_epilogue="A model that the layout cannot express is refused, with the settings that stand in the way.",
)


@import_app.default
def import_(
    folder: Path,
    /,
    *,
    out: Annotated[Path, Parameter(help="The folder for the weft model: a new one, or an empty one.")],
    as_json: Json = False,
) -> None:
    """Turn a folder of Hugging Face's or CTranslate2's into a weft model.

    Parameters
    ----------
    folder
        A local folder with config.json, model.safetensors and the tokenizer's files, or with model.bin and vocabularies.
    """
    from weft.api import import_model

    import_model(folder, out=out)
    tell({"model": str(out)}, as_json=as_json)


@export_app.default
def export(
    run: Path,
    /,
    *,
    to: Annotated[
        Literal["huggingface", "ctranslate2", "onnx", "savedmodel"],
        Parameter(help="The layout to write."),
    ] = "huggingface",
    out: Annotated[Path, Parameter(help="The folder to write: a new one, or an empty one.")],
    quantization: str | None = None,
    data: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    as_json: Json = False,
) -> None:
    """Turn a weft model into a folder that Hugging Face transformers, CTranslate2, ONNX Runtime or TensorFlow loads.

    A SavedModel of TensorFlow's runs where weft is not installed. Token ids go in, and ids or scores come out: text becomes
    ids by the tokenizer's files, which lie beside it with a page that says how.

    Parameters
    ----------
    run
        The folder of a model.
    quantization
        What to hold weights in: for ONNX float32 or int8; for CTranslate2 these, int8_float32, int8_float16, int8_bfloat16,
        int16, float16 or bfloat16. By default float32.
    data
        Test data, as `weft evaluate` takes it: what is written is measured on it beside the model itself in float32.
    """
    from weft.api import export_model
    from weft.cli.evaluate import check
    from weft.loading import describe, load
    from weft.runs.folder import refuse_used

    if data and to not in ("ctranslate2", "onnx"):
        raise UserError(
            "--data: weft runs what it writes for ONNX Runtime and CTranslate2: measure a run itself"
        )
    refuse_used(out)
    before = {}
    if data:  # first of all: nothing is written where this fails
        check(describe(run), {})
        before = scores_of(load(run, precision="float32").evaluate(data))
    left = export_model(run, to=to, out=out, quantization=quantization)
    if not data:
        tell({"folder": str(out)}, as_json=as_json)
    else:
        after = scores_of(load(out).evaluate(data))
        if as_json:
            print_json({"folder": str(out), "before": before, "after": after})
        else:
            print_facts({"folder": str(out)})
            rows = [{"score": label(name), "before": before[name], "after": after[name]} for name in before]
            print_table(rows)
    for line in left:
        warn(f"weft: warning: {line}")


def scores_of(evaluation: Any) -> dict[str, float]:
    """The figures of an evaluation that say how good a model is."""
    found = evaluation._asdict()
    every = {**found, **found.get("figures", {})}
    return {
        name: value
        for name, value in every.items()
        if isinstance(value, float) and not name.endswith("_per_second")
    }


def tell(facts: dict[str, object], *, as_json: bool) -> None:
    """Say what was written."""
    if as_json:
        print_json(facts)
    else:
        print_facts(facts)
