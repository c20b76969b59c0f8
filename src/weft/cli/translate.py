"""`weft translate`: a text, a file, or lines as they come."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from cyclopts import App

from weft.cli.lines import Lines
from weft.cli.options import Device, From, Json, Precision, Search, To
from weft.cli.output import to_json
from weft.cli.problems import warn
from weft.errors import UserError

if TYPE_CHECKING:
    from weft.api import Translation

__all__ = ["app"]

BLOCK = 4096  # lines that are translated together: many, so that sentences of equal length meet

app = App(
    name="translate",
    help_epilogue="Each line of input gives one of output, in the same order; an empty line stays one. With --nbest 2 "
    "or more each translation is a line of its own: the number of the source line, the score, the translation, with "
    "tabs between; an empty line has one, empty. With --json each source is an object on a line.",
)


@app.default
def translate(
    run: Path,
    text: str | None = None,
    /,
    *,
    lines: Lines | None = None,
    from_language: From = None,
    to_language: To = None,
    search: Search | None = None,
    truncate: bool = False,
    device: Device = None,
    precision: Precision = "auto",
    as_json: Json = False,
) -> None:
    """Translate a text, a file or standard input.

    Parameters
    ----------
    run
        The folder of a model.
    text
        One text, quoted; without it, lines are read from --input or standard input.
    truncate
        Cut a source that is longer than the model takes.
    """
    from weft.loading import load

    lines = lines or Lines()
    lines.check(text)
    translator = load(run, task="translate", device=device, precision=precision)
    search = search or Search()
    options: dict[str, Any] = {"from_language": from_language, "to_language": to_language}
    options |= {"truncate": truncate, **search.keywords()}
    numbered = search.nbest > 1
    done, long = 0, list[int]()
    with lines.open(text, lines=BLOCK) as (blocks, out):
        for block in blocks:
            answers = translator.translate(block, nbest=search.nbest, **options)
            if text is not None and any(found.refused for found in answers[0]):
                raise UserError(
                    "the text is longer than the model takes: split it, or cut it with --truncate"
                )
            for number, (source, answer) in enumerate(zip(block, answers, strict=True), start=done + 1):
                write_answer(out, source, answer, number=number, numbered=numbered, as_json=as_json)
            out.flush()
            long += [done + place for place, answer in enumerate(answers, start=1) if too_long(answer)]
            done += len(block)
    if long:
        fate = "were cut" if truncate else "are left empty (--truncate cuts them)"
        which = lines_of(long) if text is None else "the text"
        warn(f"weft: warning: {len(long):,} of {done:,} sources, too long for the model, {fate}: {which}")


def too_long(answer: list["Translation"]) -> bool:
    """Whether the source of these translations did not fit the model."""
    return any(translation.truncated or translation.refused for translation in answer)


def lines_of(numbers: list[int], *, shown: int = 5) -> str:
    """Some line numbers, the first ones.

    >>> lines_of([3]), lines_of(list(range(1, 10)))
    ('line 3', 'lines 1, 2, 3, 4, 5 and 4 more')
    """
    rest = f" and {len(numbers) - shown} more" if len(numbers) > shown else ""
    return f"line{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:shown]))}{rest}"


def write_answer(
    out: TextIO, source: str, answer: list["Translation"], *, number: int, numbered: bool, as_json: bool
) -> None:
    """One source's lines of output."""
    if as_json:
        lines = [to_json({"source": source, "translations": [found.as_dict() for found in answer]})]
    elif numbered:
        lines = [f"{number}\t{translation.score:.4f}\t{one_line(translation.text)}" for translation in answer]
    else:
        lines = [one_line(translation.text) for translation in answer]
    out.write("".join(f"{line}\n" for line in lines))


def one_line(text: str) -> str:
    """A text with its line ends made blanks: each source has its line, whatever a model may write."""
    return text.replace("\r", " ").replace("\n", " ")
