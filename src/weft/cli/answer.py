"""`weft answer`: a question on a text, or a file of questions with their texts."""

from pathlib import Path

from cyclopts import App

from weft.cli.lines import open_output, refuse_existing
from weft.cli.options import Device, Json, Precision
from weft.cli.output import to_json
from weft.cli.problems import warn
from weft.cli.translate import one_line
from weft.errors import UserError

__all__ = ["app"]

BLOCK = 1024  # questions that are answered together

app = App(
    name="answer",
    help_epilogue="Each question gives a line: its answer, as it stands in the context; an empty one where the context "
    "holds none. With --json it is an object, with the characters (from start to end, line ends counted as one) and the "
    "probability of the answer.",
)


@app.default
def answer(
    run: Path,
    /,
    *,
    question: str | None = None,
    context: str | None = None,
    context_file: Path | None = None,
    input: Path | None = None,  # noqa: A002
    output: Path | None = None,
    overwrite: bool = False,
    device: Device = None,
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Find the answer to a question in a text.

    Parameters
    ----------
    run
        The folder of a model.
    question
        One question, quoted.
    context
        The text that holds its answer, quoted.
    context_file
        The file of that text, UTF-8, gzip or not.
    input
        A table of questions (.jsonl, .csv, .tsv, .parquet) with the fields question and context, in place of one.
    output
        Write here instead of to standard output; the file appears when all is done.
    overwrite
        Replace --output if it exists.
    """
    from weft.loading import load

    asked = read_asked(question=question, context=context, context_file=context_file, input=input)
    if output is not None:
        refuse_existing(output, overwrite=overwrite)
    answerer = load(run, task="answer", device=device, precision=precision)
    missing = 0
    with open_output(output) as out:
        for begin in range(0, len(asked), BLOCK):
            questions, contexts = map(list, zip(*asked[begin : begin + BLOCK], strict=True))
            for text, found in zip(questions, answerer.answer(questions, contexts), strict=True):
                line = to_json({"question": text, **found._asdict()}) if as_json else one_line(found.text)
                out.write(f"{line}\n")
                missing += not found.found
            out.flush()
    if missing and not as_json:
        warn(f"weft: {missing:,} of {len(asked):,} questions have no answer in their context")


def read_asked(
    *,
    question: str | None,
    context: str | None,
    context_file: Path | None,
    input: Path | None,  # noqa: A002
) -> list[tuple[str, str]]:
    """The questions with their contexts, from wherever they are; a UserError where one lacks the other."""
    from weft.data.files import File
    from weft.data.sources import open_sources

    if input is not None:
        if (question, context, context_file) != (None, None, None):
            raise UserError("--input and a question or a context: give a file of questions, or one of them")
        asked = []
        for example in open_sources([str(input)], fields=["question", "context"]):
            for name, text in example.fields.items():
                if not text.strip():
                    raise UserError(
                        f"{example.path}:{example.line}: no {name}: fill it in, or take the line out"
                    )
            asked.append((example.fields["question"], example.fields["context"]))
        return asked
    if question is None or not question.strip():
        raise UserError("there is no question: ask one with --question, or name a file of them with --input")
    if (context is None) == (context_file is None):
        raise UserError(
            "a question needs one context: give it with --context, or name its file with --context-file"
        )
    if context_file is not None:
        context = "\n".join(line for _, line in File(str(context_file)).lines())
    assert context is not None
    if not context.strip():
        raise UserError(f"{context_file or '--context'}: the context is blank")
    return [(question, context)]
