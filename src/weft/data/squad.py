"""Questions on texts, in SQuAD's JSON (Rajpurkar et al. 2016; with questions that have no answer, 2018)."""

import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from weft.data.files import File, at_home
from weft.data.sources import Dropped, Report
from weft.errors import UserError

__all__ = ["Question", "leave_out", "read_squad"]

SHOWN = 40  # characters of a title or an id in a message
PLACES = 3  # that are named of what was left out


class Question(NamedTuple):
    """A question on a context, and its place in a file.

    `answers` are as they were written, none where the context holds none. `spans` are the characters (begin, end), white
    space left out, of those answers that stand where they are said to.
    """

    question: str
    context: str
    answers: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    place: str

    @property
    def impossible(self) -> bool:
        """Whether the context does not answer it."""
        return not self.answers


def read_squad(specs: Sequence[str], *, report: Report) -> list[Question]:
    """All questions of some files, or of the files that fit a pattern, packed with gzip or not.

    A question without a context, without a word or without an answer (unless it is marked `is_impossible`) is left out,
    and so is an answer that does not stand at its offset, though it stays among the `answers`; `report` counts them, with
    their places. Raises UserError with the place of what is no JSON or has another shape, and where no question is left.
    """
    questions = [
        question
        for spec in specs
        for name in _names(spec)
        for question in _questions(_read(name), name, report)
    ]
    if not questions:
        raise UserError("; ".join([f"{', '.join(specs)}: not a single question", *report.lines()[1:]]))
    report.kept += len(questions)
    return questions


def leave_out(why: str, place: str, report: Report) -> None:
    """Count what is left out for a reason; the first places of each are remembered."""
    count, places = report.dropped.get(why, Dropped(0, ()))
    report.dropped[why] = Dropped(count + 1, places if len(places) == PLACES else (*places, place))


def _names(spec: str) -> list[str]:
    path = at_home(spec)
    if path.is_file() or not glob.has_magic(spec):
        return [spec]
    names = sorted(glob.glob(str(path)))  # noqa: PTH207 - unlike Path.glob, from any folder
    if not names:
        raise UserError(f"{spec}: no file fits this pattern")
    return names


def _read(name: str) -> Any:
    text = "\n".join(line for _, line in File(name).lines())
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{name}:{error.lineno}: not JSON: {error.msg}: SQuAD's files are one JSON object each"
        ) from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name}: not JSON that can be read: {error}") from error


def _questions(document: Any, name: str, report: Report) -> Iterator[Question]:
    for number, article in enumerate(_items(document, "data", name), start=1):
        title = article.get("title") if isinstance(article, Mapping) else None
        in_article = f"{name}: article {number}{_quoted(title)}"
        for count, paragraph in enumerate(_items(article, "paragraphs", in_article), start=1):
            in_paragraph = f"{in_article}, paragraph {count}"
            records = _items(paragraph, "qas", in_paragraph)
            context = _text(paragraph, "context", in_paragraph)
            for place, record in enumerate(records, start=1):
                own = record.get("id") if isinstance(record, Mapping) else None
                where = f"{in_paragraph}, question{_quoted(own) or f' {place}'}"
                question = _question(record, context, where, report)
                if question is not None:
                    yield question


def _question(record: Any, context: str, place: str, report: Report) -> Question | None:
    """One question; None where there is nothing to be asked or learned, which is counted."""
    text = _text(record, "question", place)
    impossible = record.get("is_impossible", False)
    if not isinstance(impossible, bool):
        raise UserError(f'{place}: "is_impossible" is {_shown(impossible)}, where it is true or false')
    items = _items(record, "answers", place) if "answers" in record or not impossible else []
    answers = [_answer(item, place) for item in items]
    written = [answer for answer in answers if answer[0].strip()]
    unusable = {
        "without a context": not context.strip(),
        "without a question": not text.strip(),
        "marked is_impossible and yet with an answer": impossible and bool(written),
        "without an answer, and not marked is_impossible": not impossible and not written,
    }
    if (why := next((why for why, so in unusable.items() if so), None)) is not None:
        leave_out(why, place, report)
        return None
    spans = []
    for answer, begin in written:
        if begin >= 0 and context[begin : begin + len(answer)] == answer:
            begin += len(answer) - len(answer.lstrip())
            spans.append((begin, begin + len(answer.strip())))
        else:
            leave_out("answers that do not stand at their answer_start", place, report)
    return Question(text, context, tuple(answer for answer, _ in written), tuple(spans), place)


def _answer(record: Any, place: str) -> tuple[str, int]:
    text = _text(record, "text", f"{place}, an answer")
    begin = record.get("answer_start")
    if not isinstance(begin, int) or isinstance(begin, bool):
        raise UserError(f'{place}: an answer has no whole number "answer_start", but {_shown(begin)}')
    return text, begin


def _items(record: Any, name: str, place: str) -> list[Any]:
    """The list of that name in an object."""
    items = _object(record, name, place).get(name)
    if not isinstance(items, list):
        there = ", ".join(_shown(key) for key in record) or "nothing"
        raise UserError(
            f'{place}: no list "{name}" in it (there: {there}): SQuAD\'s files hold "data", a list of articles with '
            '"paragraphs", which have a "context" and "qas", questions with "answers"'
        )
    return items


def _text(record: Any, name: str, place: str) -> str:
    """The text of that name in an object; nothing where there is none."""
    value = _object(record, name, place).get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f'{place}: "{name}" is {_shown(value)}, where it is a text')
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f'{place}: "{name}" holds half of a surrogate pair at character {error.start}'
        ) from error
    return value


def _object(record: Any, name: str, place: str) -> Mapping[str, Any]:
    if not isinstance(record, Mapping):
        raise UserError(f'{place}: {_shown(record)} stands where an object with "{name}" should be')
    return record


def _quoted(name: Any) -> str:
    """The name of an article or a question, where it has one."""
    return f" {_shown(str(name))}" if isinstance(name, str | int) and name != "" else ""


def _shown(value: Any) -> str:
    """What stands in a file, for a message.

    >>> _shown("a" * 50), _shown("\\n"), _shown(None), _shown([1])
    ('"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…"', '"\\\\n"', 'null', 'a list')
    """
    if isinstance(value, list | Mapping):  # not spelled out: it may be all of the file
        return "a list" if isinstance(value, list) else "an object"
    if not isinstance(value, str):
        return json.dumps(value)
    short = value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
    return json.dumps(short, ensure_ascii=not short.isprintable())
