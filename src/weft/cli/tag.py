"""`weft tag`: the named entities of a text, of a file, or of lines as they come."""

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from weft.cli.lines import line_blocks, open_input, open_output, refuse_existing
from weft.cli.options import Device, Json, Precision
from weft.cli.output import to_json
from weft.errors import UserError

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
    input: Path | None = None,  # noqa: A002
    output: Path | None = None,
    overwrite: bool = False,
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
    input
        A file of lines, UTF-8, gzip or not.
    output
        Write here instead of to standard output; the file appears when all is done.
    overwrite
        Replace --output if it exists.
    """
    from weft.api import load

    if text is not None and input is not None:
        raise UserError("a text and --input: give one of them")
    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    if input is not None and not input.exists():
        raise UserError(f"{input}: no such file")
    tagger = load(run, task="tag", device=device, precision=precision)
    with ExitStack() as stack:
        out = stack.enter_context(open_output(output))
        if text is not None:
            blocks: Iterable[list[str]] = [[text]]
        else:
            stream = stack.enter_context(open_input(input))
            blocks = line_blocks(stream, name=str(input or "standard input"), lines=BLOCK)
        done = 0
        for block in blocks:
            for number, (each, entities) in enumerate(
                zip(block, tagger.tag(block), strict=True), start=done + 1
            ):
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
