"""`weft evaluate` of classifiers: where text and label stand, and what is refused before a model is loaded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft

LABELS = {"labels": ("cat", "dog")}
PAIR = {"pair": True, "source": {"pair_column": "other"}}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "lines.txt").write_text("cat:small cat sleeps\ndog:big dog runs\ncat: dog cat\n")
    (tmp_path / "table.tsv").write_text("kind\tone\ttwo\ncat\tcat\tdog\ndog\tdog\tcat\n")
    (tmp_path / "bare.tsv").write_text("cat\tcat runs\ndog\tdog\n")
    return tmp_path


@pytest.mark.parametrize(
    ("fields", "file", "options", "texts"),
    [
        ({}, "lines.txt", ["--label-until", ":"], 3),
        ({"source": {"label_until": ":"}}, "lines.txt", [], 3),
        (
            {"source": {"label_until": ":"}},
            "table.tsv",
            ["--text-column", "one", "--label-column", "kind"],
            2,
        ),
        ({"source": {"label_until": ":"}}, "bare.tsv", ["--columns", "label,text"], 2),
        (PAIR, "table.tsv", ["--text-column", "one", "--pair-column", "two", "--label-column", "kind"], 2),
    ],
)
def test_text_and_label_are_where_one_says(
    fields: dict[str, Any],
    file: str,
    options: list[str],
    texts: int,
    command: Callable[..., Any],
    saved: Callable[..., Path],
    data: Path,
) -> None:
    run = saved("classify", **LABELS, **fields)
    ran = command("evaluate", run, "--data", data / file, *options, "--json")
    assert (ran.status, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert (found["texts"], sum(map(sum, found["confusion"]))) == (texts, texts)


@pytest.mark.parametrize(
    ("task", "fields", "options", "message"),
    [
        ("classify", {}, ["--beam", "2"], "a model for the task classify is measured without --beam"),
        ("tag", {}, ["--label-until", ":"], "a model for the task tag is measured without --label-until"),
        ("embed", {}, [], "a model for the task embed has no test of its own"),
        (
            "classify",
            {},
            ["--label-until", ":", "--text-column", "one"],
            "--label-until is for lines without columns: leave it out, or --text-column",
        ),
        (
            "classify",
            {"pair": False},
            ["--pair-column", "two"],
            "the model reads one text, and no second one: leave out --pair-column two",
        ),
        (
            "classify",
            {"pair": True},
            ["--text-column", "one"],
            "the model reads two texts: name the second one's column with --pair-column",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_a_model_is_loaded(
    task: str,
    fields: dict[str, Any],
    options: list[str],
    message: str,
    command: Callable[..., Any],
    saved: Callable[..., Path],
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = saved(task, **fields)
    monkeypatch.setattr("weft.loading.load", lambda *_, **__: pytest.fail("a model was loaded"))
    ran = command("evaluate", run, "--data", data / "table.tsv", *options)
    assert (ran.status, ran.out, ran.err) == (2, "", f"weft: error: {message}\n")


def test_a_model_of_someone_elses_reads_one_text_or_two(
    command: Callable[..., Any], saved: Callable[..., Path], data: Path
) -> None:
    run = saved("classify", **LABELS)  # nothing says whether it is of pairs
    options = ["--text-column", "one", "--label-column", "kind", "--json"]
    for more in ([], ["--pair-column", "two"]):
        assert command("evaluate", run, "--data", data / "table.tsv", *options, *more).status == 0
    assert weft.load(run).classify("cat", pair="dog") != weft.load(run).classify("cat")


@pytest.mark.parametrize("scheme", ["iob1", "bioes"])
def test_a_tagger_is_told_what_tags_mean(
    scheme: str, command: Callable[..., Any], saved: Callable[..., Path], tmp_path: Path
) -> None:
    begins = {"iob1": "I", "bioes": "S"}[scheme]
    (tmp_path / "data.conll").write_text(f"cat\t{begins}-PER\nruns\tO\n\n")
    run = saved("tag", labels=("B-PER", "I-PER", "O"))
    ran = command("evaluate", run, "--data", tmp_path / "data.conll", "--scheme", scheme, "--json")
    assert (ran.status, json.loads(ran.out)["per_type"]["PER"]["support"]) == (0, 1)
    other = command("evaluate", run, "--data", tmp_path / "data.conll", "--scheme", "iob2")
    assert other.status == 2
