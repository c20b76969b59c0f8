"""`weft classify`: a text, a file, or lines as they come."""

from pathlib import Path

from cyclopts import App

from weft.cli.lines import Lines
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
    lines: Lines | None = None,
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
    """
    from weft.loading import load

    lines = lines or Lines()
    lines.check(text)
    if text is not None and not text.strip():
        raise UserError("the text is blank: there is nothing to classify")
    if text is None and pair is not None:
        raise UserError("--pair goes with a text: in lines the second text stands after a tab")
    classifier = load(run, task="classify", device=device, precision=precision)
    cut = done = 0
    with lines.open(text, lines=BLOCK) as (blocks, out):
        for block in blocks:
            texts, pairs = [line for line in block if line.strip()], None if pair is None else [pair]
            if text is None and classifier.config.pair:
                texts, pairs = split_pairs(block, done=done)
            answers = iter(classifier.classify(texts, pair=pairs) if texts else ())
            for line in block:
                answer = next(answers) if line.strip() else None
                cut += answer is not None and answer.truncated
                out.write("\n" if answer is None else line_of(line, answer, as_json=as_json))
            out.flush()
            done += len(block)
    if cut:
        warn(
            f"weft: warning: {cut:,} of {done:,} texts are too long for the model, which read their beginning"
        )


def split_pairs(block: list[str], *, done: int) -> tuple[list[str], list[str]]:
    """The two texts of each line that is not blank; `done` lines came before these."""
    pairs = []
    for number, line in enumerate(block, start=done + 1):
        cells = line.split("\t")
        if line.strip() and len(cells) != 2:
            raise UserError(
                f"line {number}: {len(cells)} texts, where the model reads two with a tab between"
            )
        if line.strip():
            pairs.append(cells)
    return [first for first, _ in pairs], [second for _, second in pairs]


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
