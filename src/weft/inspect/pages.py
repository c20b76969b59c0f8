"""One self-contained HTML page of attention: no network, nothing to install, opened from a file."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from weft.errors import UserError
from weft.inspect.heads import Group, Habits, describe, readable
from weft.inspect.marks import Mark, Span, marked_html, strongest, table_html

__all__ = ["Explained", "Text", "page", "write_page"]

SCRIPTS = ("weights.js", "pictures.js", "marks.js", "moving.js")  # one program, in this order
LONG = 240  # characters: longer texts are set smaller
STEPS = 4095  # a weight is kept in 12 bits: to 0.012 %, half of what the page shows


class Text(NamedTuple):
    """A text shown at the page's head; `language` (as in BCP 47) tells a browser how to read and break it.

    Its `marks` shade what an answer rests on, and `focus`, characters of it, gets a frame: the answer, say.
    """

    label: str
    text: str
    language: str = ""
    marks: Sequence[Mark] = ()
    focus: Span | None = None


class Explained(NamedTuple):
    """What the marks of the texts explain: the number's name, and how they add up to it, to be read."""

    name: str
    sums: Mapping[str, str]


def page(
    groups: Sequence[Group],
    *,
    title: str,
    texts: Sequence[Text],
    facts: Mapping[str, str] | None = None,
    explained: Explained | None = None,
) -> str:
    """The page as HTML: `texts` and `facts` (the model, the score) at its head, then `groups`.

    Where texts have marks, `explained` says of what; they share one scale, from 0 to the strongest mark of all.

    Averages come first, and every head is one click away; `#cross/2/5` in the address opens layer 2, head 5.
    """
    largest = strongest(mark for text in texts for mark in text.marks)
    style, script = _part("page.css"), "\n".join(_part(name) for name in SCRIPTS)
    data = {"groups": [_group_data(group) for group in groups]}
    return _fill(
        _part("page.html"),
        {
            "style_hash": _hash(style),
            "script_hash": _hash(script),
            "title": html.escape(title),
            "texts": "".join(_text_html(text, largest=largest) for text in texts),
            "marks": "" if explained is None else _marks_html(explained, texts),
            "facts": _facts_html(facts or {}),
            "style": style,
            "data": _script_json(data),
            "script": script,
        },
    )


def write_page(
    path: Path,
    groups: Sequence[Group],
    *,
    title: str,
    texts: Sequence[Text],
    facts: Mapping[str, str] | None = None,
    explained: Explained | None = None,
) -> None:
    """Write `page` to a file; its folder must exist."""
    content = page(groups, title=title, texts=texts, facts=facts, explained=explained)
    try:
        path.write_text(content, encoding="utf-8", errors="xmlcharrefreplace")  # half a surrogate pair
    except OSError as error:
        raise UserError(f"{path}: the page cannot be written: {error.strerror}; name another file") from error


def _part(name: str) -> str:
    return (files("weft.inspect") / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    """What the page's content security policy knows its own script and style by: no other can run."""
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _fill(template: str, values: Mapping[str, str]) -> str:
    """Put values in place of {{names}}, in one pass, so that no value is searched for names."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], template)


def _text_html(text: Text, *, largest: float) -> str:
    language = f' lang="{html.escape(text.language)}"' if text.language else ""
    size = ' class="long"' if len(text.text) > LONG else ""
    content = marked_html(text.text, text.marks, focus=text.focus, largest=largest)
    return f'<div><dt>{html.escape(text.label)}</dt><dd dir="auto"{language}{size}>{content}</dd></div>\n'


def _marks_html(explained: Explained, texts: Sequence[Text]) -> str:
    """What the marks mean, what they add up to, and all of them as a table."""
    rows = [(text.text, mark) for text in texts for mark in text.marks]
    values = {"name": html.escape(explained.name), "sums": _facts_html(explained.sums)}
    return _fill(_part("marks.html"), {**values, "table": table_html(rows)})


def _facts_html(facts: Mapping[str, str]) -> str:
    return "".join(
        f"<li>{html.escape(name)} <b>{html.escape(value)}</b></li>\n" for name, value in facts.items()
    )


def _script_json(value: object) -> str:
    """JSON that can neither end its script element nor open a comment in it."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # pure ASCII
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _group_data(group: Group) -> dict[str, object]:
    return {
        "name": group.name,
        "title": group.title,
        "about": group.about,
        "rowTitle": group.row_title,
        "columnTitle": group.column_title,
        "rows": readable(group.rows),
        "columns": readable(group.columns),
        "layers": group.weights.shape[0],
        "heads": group.weights.shape[1],
        "causal": group.causal,
        "weights": pack(group.weights),
        "all": _habits_data(describe(group.weights.mean((0, 1)), group=group)),
        "perLayer": [_habits_data(describe(layer.mean(0), group=group)) for layer in group.weights],
        "perHead": [[_habits_data(describe(head, group=group)) for head in layer] for layer in group.weights],
    }


def _habits_data(habits: Habits) -> dict[str, object]:
    return {
        "words": habits.words,
        "habits": [[habit.name, round(habit.share, 4)] for habit in habits.habits],
        "tokens": round(habits.tokens, 2),
        "entropy": round(habits.entropy, 2),
        "distance": None if habits.distance is None else round(habits.distance, 2),
    }


def pack(weights: Float[np.ndarray, "*shape"]) -> str:
    """Weights from 0 to 1, in row-major order, as 12 bits each, in base64.

    Two weights take three bytes: the first's low 8 bits; its high 4 below the second's low 4; the second's
    high 8.
    """
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() > 1.01:
        raise ValueError("attention weights lie between 0 and 1")
    values = np.rint(weights.astype(np.float64).clip(0, 1).ravel() * STEPS).astype(np.uint16)
    pairs = np.append(values, np.zeros(values.size % 2, np.uint16)).reshape(-1, 2)
    first, second = pairs[:, 0], pairs[:, 1]
    triples = np.stack([first & 255, first >> 8 | (second & 15) << 4, second >> 4], axis=1)
    return base64.b64encode(triples.astype(np.uint8).tobytes()).decode("ascii")
