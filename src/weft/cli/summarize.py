"""`weft summarize`: a text, a file with one, or a table of texts."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from weft.cli.lines import open_output, refuse_existing
from weft.cli.options import Device, Json, Precision
from weft.cli.output import to_json
from weft.cli.problems import warn
from weft.cli.translate import one_line
from weft.errors import UserError

if TYPE_CHECKING:
    from weft.pipelines.summarizer import Summary

__all__ = ["app"]

BLOCK = 256  # texts that are summarized together

app = App(
    name="summarize",
    help_epilogue="A table gives a line of output for each text, in the same order.",
)


@app.default
def summarize(
    run: Path,
    text: str | None = None,
    /,
    *,
    input: Path | None = None,  # noqa: A002
    source: str | None = None,
    output: Path | None = None,
    overwrite: bool = False,
    beam: int | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    length_penalty: float | None = None,
    no_repeat_ngram: int | None = None,
    whole: bool = False,
    device: Device = None,
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Summarize a text, or those of a file.

    Parameters
    ----------
    run
        The folder of a model.
    text
        One text, quoted; without it, --input or standard input.
    input
        A file with one text; or a table (.jsonl, .csv, .tsv, .parquet) with a column of texts.
    source
        The column of the texts, if not the one that was learned from.
    output
        Write here instead of to standard output; the file appears when all is done.
    overwrite
        Replace --output if it exists.
    beam
        How many hypotheses to keep: 1 is greedy. By default 4.
    min_length
        The fewest tokens of a summary.
    max_length
        The most tokens of a summary.
    length_penalty
        Above 1 favours long summaries, below 1 short ones.
    no_repeat_ngram
        Never repeat this many tokens in a row: by default 3; 0 leaves repeats free.
    whole
        Refuse a text that is longer than the model reads at once; otherwise it is read in parts.
    """
    from weft.api import load
    from weft.config import SummarizerConfig
    from weft.saved import read_config

    if text is not None and input is not None:
        raise UserError("a text and --input: give one of them")
    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    config = read_config(run)
    if not isinstance(config, SummarizerConfig):
        raise UserError(f"{run}: a model for the task {config.task}, where one for summarize is needed")
    if text is not None and source is not None:
        raise UserError("--source names a column, and a text has none: leave it out")
    texts = [text] if text is not None else read(input, source or config.source.source, config.columns)
    summarizer = load(run, device=device, precision=precision)
    options = {
        "beams": beam,
        "min_length": min_length,
        "max_length": max_length,
        "length_penalty": length_penalty,
        "no_repeat_ngram": no_repeat_ngram,
    }
    given = {name: value for name, value in options.items() if value is not None}
    several = 0
    if whole:
        summarizer.check(texts)
    with open_output(output) as out:
        for start in range(0, len(texts), BLOCK):
            block = texts[start : start + BLOCK]
            for each, found in zip(block, summarizer.summarize(block, **given), strict=True):
                several += found.parts > 1
                out.write(line_of(each, found, as_json=as_json))
            out.flush()
    if several:
        warn(
            f"weft: warning: {several:,} of {len(texts):,} texts are longer than the {config.length:,} tokens that the "
            "model reads at once: they were read in parts, each with a summary of its own"
        )


def line_of(text: str, found: "Summary", *, as_json: bool) -> str:
    """One text's line of output."""
    if as_json:
        return (
            to_json({"text": text, "summary": found.text, "score": found.score, "parts": found.parts}) + "\n"
        )
    return one_line(found.text) + "\n"


def read(path: Path | None, column: str, columns: Sequence[str] | None) -> list[str]:
    """The one text of a file or of standard input, or those in a table's column; a UserError names one that is blank."""
    from weft.data.files import File, StandardInput
    from weft.data.formats import FORMATS
    from weft.data.sources import open_sources

    if path is not None and File(str(path)).suffix in FORMATS:
        # Columns that were named in training are those of a table without a header, which has the same.
        named = columns if File(str(path)).suffix in (".tsv", ".csv") else None
        examples = list(open_sources([str(path)], columns=named, fields=[column]))
        for example in examples:
            if not example.fields[column].strip():
                raise UserError(f"{example.path}:{example.line}: no text in {column}")
        return [example.fields[column] for example in examples]
    file = StandardInput() if path is None else File(str(path))
    text = "\n".join(line for _, line in file.lines())
    if not text.strip():
        raise UserError(f"{file.name}: there is no text to summarize")
    return [text]
