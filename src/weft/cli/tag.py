"""`weft tag`: the named entities of a text, of a file, or of lines as they come."""

from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from weft.cli.lines import Lines
from weft.cli.options import Device, Json, Precision
from weft.cli.output import to_json

if TYPE_CHECKING:
    from weft.pipelines.tagger import Entity

__all__ = ["app"]

BLOCK = 1024  # lines that are read together

app = App(
    name="tag",
    help_epilogue="Each entity is a line of output: the number of its line of input, its first character and the one after "
    "its last, counted from 0, its label, its text and its score, with tabs between. A line of input without entities "
    "gives none. With --json each text is an object on a line.",
)


@app.default
def tag(
    run: Path,
    text: str | None = None,
    /,
    *,
    lines: Lines | None = None,
    device: Device = None,
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Find the named entities of a text, a file or standard input.

    Parameters
    ----------
    run
        The folder of a model.
    text
        One text, quoted; without it, lines are read from --input or standard input.
    """
    from weft.loading import load

    lines = lines or Lines()
    lines.check(text)
    tagger = load(run, task="tag", device=device, precision=precision)
    done = 0
    with lines.open(text, lines=BLOCK) as (blocks, out):
        for block in blocks:
            found = zip(block, tagger.tag(block), strict=True)
            for number, (each, entities) in enumerate(found, start=done + 1):
                out.write(lines_of(each, entities, number=number, as_json=as_json))
            out.flush()
            done += len(block)


def lines_of(text: str, entities: list["Entity"], *, number: int, as_json: bool) -> str:
    """One text's lines of output."""
    if as_json:
        return to_json({"text": text, "entities": entities}) + "\n"
    return "".join(
        f"{number}\t{entity.start}\t{entity.end}\t{entity.label}\t{' '.join(entity.text.split())}\t{entity.score:.4f}\n"
        for entity in entities
    )
