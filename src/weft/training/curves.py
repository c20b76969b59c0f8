"""A run's curves as a picture, in the vector format that browsers show."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from weft.runs.log import read_log

__all__ = ["draw_curves"]

WIDTH, HEIGHT = 720, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 34, 34
GRID = 4  # lines across
SMOOTHING = 0.9  # of the training loss, which differs from batch to batch
COLOURS = {"loss": "#9aa7b8", "validation_loss": "#c2410c"}
SCORE = "#1d4ed8"


class Point(NamedTuple):
    """A measurement at a step."""

    step: int
    value: float


def draw_curves(metrics: Path, picture: Path) -> None:
    """Draw what a run's metrics tell: the losses in one panel, and each score in a panel of its own."""
    records = [record for record in read_log(metrics) if not record.get("finished")]
    losses = {
        "loss": _smooth(_points(records, "loss")),
        "validation_loss": _points(records, "validation_loss"),
    }
    known = {"step", "seconds", "learning_rate", "tokens_per_second", *losses}
    scores = {name: _points(records, name) for record in records for name in record if name not in known}
    panels = [("loss, in nats a token", losses), *((name, {name: points}) for name, points in scores.items())]
    last = max((record["step"] for record in records), default=1)
    drawn = [
        _panel(title, lines, last=last, top=index * HEIGHT) for index, (title, lines) in enumerate(panels)
    ]
    picture.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT * len(panels)}" '
        f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(drawn)
        + "\n</svg>\n",
        encoding="utf-8",
    )


def _points(records: Iterable[dict[str, Any]], name: str) -> list[Point]:
    return [Point(record["step"], record[name]) for record in records if record.get(name) is not None]


def _smooth(points: Sequence[Point]) -> list[Point]:
    """A running mean, which weighs the first points as if there were no others."""
    mean = weight = 0.0
    smooth = []
    for step, value in points:
        mean = SMOOTHING * mean + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smooth.append(Point(step, mean / weight))
    return smooth


def _panel(title: str, lines: dict[str, list[Point]], *, last: int, top: int) -> str:
    values = [point.value for points in lines.values() for point in points] or [0.0]
    low, high = min(values), max(values)
    high = high if high > low else low + 1.0

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(value: float) -> float:
        return top + HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    parts = [f'<text x="{LEFT}" y="{top + 20}" font-weight="bold">{escape(title)}</text>']
    for share in (index / GRID for index in range(GRID + 1)):
        value = low + share * (high - low)
        parts += [
            f'<path d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}" stroke="#e5e7eb"/>',
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.3g}</text>',
            f'<text x="{x(share * last):.1f}" y="{top + HEIGHT - 14}" text-anchor="middle">{share * last:,.0f}</text>',
        ]
    for number, (name, points) in enumerate(lines.items()):
        colour = COLOURS.get(name, SCORE)
        path = "".join(f"L{x(point.step):.1f} {y(point.value):.1f}" for point in points)
        parts.append(
            f'<path d="M{path[1:]}" fill="none" stroke="{colour}" stroke-width="1.6"/>' if path else ""
        )
        parts += [
            f'<circle cx="{x(p.step):.1f}" cy="{y(p.value):.1f}" r="2.4" fill="{colour}"/>'
            for p in points[-1:]
        ]
        place = WIDTH - RIGHT - 150 * (len(lines) - number)
        parts.append(
            f'<text x="{place + 150}" y="{top + 20}" text-anchor="end" fill="{colour}">{escape(name)}</text>'
        )
    return "\n".join(filter(None, parts))
