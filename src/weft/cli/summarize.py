"""`weft summarize`: a text, a file with one, or a table of texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App, Group, Parameter

from weft.cli.lines import Lines, open_output
from weft.cli.options import Device, Json, Precision, in_python
from weft.cli.output import to_json
from weft.cli.problems import warn
from weft.cli.translate import one_line
from weft.errors import UserError

if TYPE_CHECKING:
    from weft.config import SummarizerConfig
    from weft.pipelines.summarizer import Summary

__all__ = ["app"]

BLOCK = 256  # texts that are summarized together

app = App(
    name="summarize",
    help_epilogue="A table gives a line of output for each text, in the same order.",
)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Texts(Lines):
    """Where texts come from, and where their summaries go.

    Parameters
    ----------
    input
        A file with one text; or a table (.jsonl, .csv, .tsv, .parquet) with a column of texts.
    output
        Write here instead of to standard output; the file appears when all is done.
    overwrite
        Replace --output if it exists.
    source
        The column of the texts, if not the one that was learned from.
    """

    source: str | None = None

    def read(self, text: str | None, config: "SummarizerConfig") -> list[str]:
        """The one text, or those of the input."""
        self.check(text)
        if text is None:
            return read(self.input, self.source or config.source.source, config.columns)
        if self.source is not None:
            raise UserError("--source names a column, and a text has none: leave it out")
        return [text]


@Parameter(name="*", group=Group("Search", sort_key=1))
@dataclass(frozen=True, kw_only=True)
class Search:
    """How summaries are searched for; what is not given is the model's.

    Parameters
    ----------
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
    """

    beam: int | None = None
    min_length: int | None = None
    max_length: int | None = None
    length_penalty: float | None = None
    no_repeat_ngram: int | None = None


@app.default
def summarize(
    run: Path,
    text: str | None = None,
    /,
    *,
    texts: Texts | None = None,
    search: Search | None = None,
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
    whole
        Refuse a text that is longer than the model reads at once; otherwise it is read in parts.
    """
    from weft.config import SummarizerConfig
    from weft.loading import describe, load

    texts = texts or Texts()
    if not isinstance(config := describe(run), SummarizerConfig):
        raise UserError(f"{run}: a model for the task {config.task}, where one for summarize is needed")
    every = texts.read(text, config)
    summarizer = load(run, device=device, precision=precision)
    if whole:
        summarizer.check(every)
    several, options = 0, in_python(search or Search())
    with open_output(texts.output) as out:
        for start in range(0, len(every), BLOCK):
            block = every[start : start + BLOCK]
            for each, found in zip(block, summarizer.summarize(block, **options), strict=True):
                several += found.parts > 1
                out.write(line_of(each, found, as_json=as_json))
            out.flush()
    if several:
        warn(
            f"weft: warning: {several:,} of {len(every):,} texts are longer than the {config.length:,} tokens that the "
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
