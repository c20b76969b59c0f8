"""`weft inspect` asks each task what it can be asked, and refuses the rest in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest

from weft.inspect.attribution import Attribution
from weft.inspect.marks import Mark
from weft.inspect.readers import Inspected


class Answer(NamedTuple):
    label: str


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, calls: list[SimpleNamespace]) -> Callable[[str], list[Any]]:
    """A model for a task, whose answer is made up; and what it was asked."""

    def of(task: str) -> list[Any]:
        kept: list[Any] = []

        def inspect(text: str, *, out: Path, **options: Any) -> Inspected:
            kept.append((text, options))
            out.write_text("<html>")
            if task == "embed":
                return Inspected(None, "", "", (), None)
            sums = Attribution(np.array([0.0, 2.5]), 2.0, -0.5, 16)
            return Inspected(
                Answer("spam"), "Answer: spam", "log-odds of spam", ([Mark(0, 3, "▁win", 2.5)],), sums
            )

        model = SimpleNamespace(config=SimpleNamespace(task=task), inspect=inspect)
        monkeypatch.setattr("weft.loading.load", lambda *_, **__: model)
        return kept

    return of


@pytest.mark.parametrize(
    ("task", "options", "passed"),
    [
        ("classify", [], {}),
        ("classify", ["--pair", "two", "--label", "spam"], {"pair": "two", "label": "spam"}),
        ("tag", ["--entity", "2"], {"entity": 2}),
        ("answer", ["--question", "Who?"], {"question": "Who?"}),
    ],
)
def test_each_task_is_asked_what_is_its_own(
    weft: Callable[..., Any], run: Path, asked: Any, task: str, options: list[str], passed: dict[str, Any]
) -> None:
    kept = asked(task)
    page = run / "page.html"
    ran = weft("inspect", run, "win now", "--out", page, *options)
    assert (ran.status, ran.out, ran.err) == (0, f"Answer: spam\nAttention: {page}\n", "")
    assert kept == [("win now", passed)]


@pytest.mark.parametrize(
    ("task", "options", "own"),
    [
        ("classify", ["--from", "de"], ", which takes --pair, --label"),
        ("tag", ["--question", "Who?"], ", which takes --entity"),
        ("translate", ["--entity", "1"], ", which takes --from, --to, --beam"),
        ("embed", ["--label", "a"], ""),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(
    weft: Callable[..., Any], run: Path, asked: Any, task: str, options: list[str], own: str
) -> None:
    kept = asked(task)
    ran = weft("inspect", run, "win now", "--out", run / "page.html", *options)
    message = f"{options[0]} is nothing to {run}, a model for the task {task}{own}"
    assert (ran.status, ran.out, ran.err) == (2, "", f"weft: error: {message}\n")
    assert kept == []


def test_an_answer_needs_a_question(weft: Callable[..., Any], run: Path, asked: Any) -> None:
    kept = asked("answer")
    ran = weft("inspect", run, "win now", "--out", run / "page.html")
    message = f"{run} answers questions on a text: ask one with --question"
    assert (ran.status, ran.err, kept) == (2, f"weft: error: {message}\n", [])


def test_for_programs(weft: Callable[..., Any], run: Path, asked: Any) -> None:
    asked("classify")
    page = run / "page.html"
    assert json.loads(weft("inspect", run, "win now", "--out", page, "--json").out) == {
        "page": str(page),
        "answer": {"label": "spam"},
        "explained": "log-odds of spam",
        "value": 2.0,
        "hidden": -0.5,
        "residual": 0.0,
        "steps": 16,
        "tokens": [[{"begin": 0, "end": 3, "token": "▁win", "score": 2.5}]],
    }
    asked("embed")
    ran = weft("inspect", run, "win now", "--out", page, "--overwrite", "--json")
    assert json.loads(ran.out) == {"page": str(page), "answer": None}
    assert weft("inspect", run, "win", "--out", page, "--overwrite").out == f"Attention: {page}\n"
