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

__all__ = ["Text", "page", "write_page"]

SCRIPTS = ("weights.js", "pictures.js", "moving.js")  # one program, in this order
STEPS = 4095  # a weight is kept in 12 bits: to 0.012 %, half of what the page shows


class Text(NamedTuple):
    """A text shown at the page's head; `language` (as in BCP 47) tells a browser how to read and break it."""

    label: str
    text: str
    language: str = ""


def page(
    groups: Sequence[Group], *, title: str, texts: Sequence[Text], facts: Mapping[str, str] | None = None
) -> str:
    """The page as HTML: `texts` and `facts` (the model, the score) at its head, then `groups`.

    Averages come first, and every head is one click away; `#cross/2/5` in the address opens layer 2, head 5.
    """
    style, script = _part("page.css"), "\n".join(_part(name) for name in SCRIPTS)
    data = {"groups": [_group_data(group) for group in groups]}
    return _fill(
        _part("page.html"),
        {
            "style_hash": _hash(style),
            "script_hash": _hash(script),
            "title": html.escape(title),
            "texts": "".join(_text_html(text) for text in texts),
            "facts": "".join(_fact_html(name, value) for name, value in (facts or {}).items()),
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
) -> None:
    """Write `page` to a file; its folder must exist."""
    content = page(groups, title=title, texts=texts, facts=facts)
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


def _text_html(text: Text) -> str:
    language = f' lang="{html.escape(text.language)}"' if text.language else ""
    label, content = html.escape(text.label), html.escape(text.text)
    return f'<div><dt>{label}</dt><dd dir="auto"{language}>{content}</dd></div>\n'


def _fact_html(name: str, value: str) -> str:
    return f"<li>{html.escape(name)} <b>{html.escape(value)}</b></li>\n"


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
