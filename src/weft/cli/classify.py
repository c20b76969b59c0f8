"""`weft classify`: a text, a file, or lines as they come."""

from contextlib import ExitStack
from pathlib import Path

from cyclopts import App

from weft.cli.lines import line_blocks, open_input, open_output, refuse_existing
from weft.cli.options import Device, Json, Precision
from weft.cli.output import to_json
from weft.cli.problems import warn
from weft.errors import UserError

__all__ = ["app"]

BLOCK = 1024  # lines that are read together

app = App(
    name="classify",
    help_epilogue="Each line of input gives one of output: the label and its probability, with a tab between; several "
    "labels with commas between; a number by itself. A blank line stays one.",
)


@app.default
def classify(
    run: Path,
    text: str | None = None,
    /,
    *,
    pair: str | None = None,
    input: Path | None = None,  # noqa: A002
    output: Path | None = None,
    overwrite: bool = False,
    device: Device = None,
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Classify a text, a file or standard input.

    Parameters
    ----------
    run
        The folder of a model.
    text
        One text, quoted; without it, lines are read from --input or standard input.
    pair
        The second text, where the model reads two. In lines they stand with a tab between.
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
    classifier = load(run, task="classify", device=device, precision=precision)
    cut = done = 0
    with ExitStack() as stack:
        out = stack.enter_context(open_output(output))
        if text is not None:
            answers = [classifier.classify(text, pair=pair)]
            out.write(line_of(text, answers[0], as_json=as_json))
            cut += answers[0].truncated
            done = 1
        else:
            stream = stack.enter_context(open_input(input))
            for block in line_blocks(stream, name=str(input or "standard input"), lines=BLOCK):
                lines = [line for line in block if line.strip()]
                texts, pairs = split_pairs(lines, pair=classifier.config.pair, done=done)
                answers = iter(classifier.classify(texts, pair=pairs)) if texts else iter(())
                for line in block:
                    answer = next(answers) if line.strip() else None
                    cut += answer is not None and answer.truncated
                    out.write("\n" if answer is None else line_of(line, answer, as_json=as_json))
                out.flush()
                done += len(block)
    if cut:
        warn(
            f"weft: warning: of {cut:,} of {done:,} texts, too long for the model, only the beginning was read"
        )


def split_pairs(lines: list[str], *, pair: bool, done: int) -> tuple[list[str], list[str] | None]:
    """The texts of lines, and the second ones where the model reads two."""
    if not pair:
        return lines, None
    cells = [line.split("\t") for line in lines]
    for number, each in enumerate(cells, start=done + 1):
        if len(each) != 2:
            raise UserError(f"line {number}: {len(each)} texts, where the model reads two with a tab between")
    return [first for first, _ in cells], [second for _, second in cells]


def line_of(text: str, answer: object, *, as_json: bool) -> str:
    """One text's line of output."""
    found = answer._asdict()  # type: ignore[attr-defined]
    if as_json:
        return to_json({"text": text, **found}) + "\n"
    if found["number"] is not None:
        return f"{found['number']:.6g}\n"
    labels = ",".join(found["labels"])
    shares = ",".join(f"{found['probabilities'][label]:.4f}" for label in found["labels"])
    return f"{labels}\t{shares}\n"
