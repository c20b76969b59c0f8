"""The smaller commands in front of a made-up weft.api."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from weft.text.tokenizer import Tokenizer


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    return folder


def test_evaluate(weft: Callable[..., Any], run: Path, calls: list[SimpleNamespace]) -> None:
    ran = weft(
        "evaluate",
        run,
        "--data",
        "a.{de,en}",
        "--data",
        "b.tsv",
        "--from",
        "de",
        "--to",
        "en",
        "--columns",
        "de,en",
    )
    assert ran == (
        0,
        "direction: de-en\nBLEU: 38.51\nexact: 25.0%\ndropped: 2\n",
        "weft: warning: 2 left out as empty: b.tsv:3, b.tsv:9\n",
    )
    assert vars(calls[-1]) == {
        "name": "evaluate",
        "data": ["a.{de,en}", "b.tsv"],
        "from_language": "de",
        "to_language": "en",
        "columns": ["de", "en"],
    }
    assert calls[-2].precision == "auto"
    out = weft("evaluate", run, "--data", "a.{de,en}", "--from", "de", "--to", "en", "--json").out
    assert json.loads(out) == {
        "direction": "de-en",
        "bleu": 38.51,
        "exact": 0.25,
        "dropped": 0,
        "left_out": [],
    }
    ran = weft("evaluate", run, "--data", "b.tsv", "--from", "de", "--to", "en", "--json")
    assert json.loads(ran.out)["left_out"] == ["2 left out as empty: b.tsv:3, b.tsv:9"]
    assert ran.err == "weft: warning: 2 left out as empty: b.tsv:3, b.tsv:9\n"


def test_inspect_writes_a_page_and_never_over_another(
    weft: Callable[..., Any], run: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert weft("inspect", run, "ein Hund", "--out", page) == (0, f"EIN HUND\nAttention: {page}\n", "")
    ran = weft("inspect", run, "ein Hund", "--out", page)
    assert (ran.status, ran.err) == (
        2,
        f"weft: error: {page}: exists: name another file, or give --overwrite\n",
    )
    out = weft("inspect", run, "ein Hund", "--out", page, "--overwrite", "--json").out
    assert json.loads(out)["page"] == str(page)
    assert json.loads(out)["translation"]["text"] == "EIN HUND"


def test_info(weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert weft("info", "run").out == "folder: run\nparameters: 1,000\nSettings\nmodel.width: 64\n"
    facts = {"folder": "run", "parameters": 1000, "model": {"width": 64}}
    assert json.loads(weft("info", "run", "--json").out) == facts
    settings = {"task": "translate", "train": {"max_steps": 10, "minutes": None}}
    monkeypatch.setattr("weft.facts.info", lambda _: {**facts, "run": settings})
    assert weft("info", "run").out.endswith("Settings\ntask: translate\ntrain.max_steps: 10\n")


def test_import_and_export(weft: Callable[..., Any], calls: list[SimpleNamespace]) -> None:
    assert weft("import", "marian", "--out", "run") == (0, "model: run\n", "")
    assert (
        weft("export", "run", "--to", "huggingface", "--out", "there", "--json").out
        == '{"folder": "there"}\n'
    )
    assert [vars(call) for call in calls] == [
        {"name": "import_model", "arguments": (Path("marian"),), "out": Path("run")},
        {
            "name": "export_model",
            "arguments": (Path("run"),),
            "to": "huggingface",
            "out": Path("there"),
            "quantization": None,
        },
    ]


def test_tokenizer_train(weft: Callable[..., Any], tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("ein Hund läuft\nein Haus steht\n" * 50)
    out = tmp_path / "tokenizer.json"
    ran = weft("tokenizer", "train", lines, lines, "--kind", "bpe", "--size", "300", "--out", out, "--json")
    facts = json.loads(ran.out)
    assert (ran.status, facts["kind"], facts["lines"]) == (0, "bpe", 200)
    tokenizer = Tokenizer.load(tmp_path)
    assert tokenizer.vocab_size == facts["size"] <= 300
    assert tokenizer.decode(tokenizer.encode(["ein Hund steht"])) == ["ein Hund steht"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "lines.txt",
        "tokenizer.json",
        "tokenizer_vectors.json",
    ]
    ran = weft("tokenizer", "train", lines, "--out", out)
    assert (ran.status, ran.err) == (
        2,
        f"weft: error: {out}: exists: name another file, or give --overwrite\n",
    )
    pattern = tmp_path / "lines.{de,en}"
    for language in ("de", "en"):
        (tmp_path / f"lines.{language}").write_text("ein Hund\nein Haus\n" * 20)
    ran = weft("tokenizer", "train", pattern, lines, "--out", out, "--overwrite", "--kind", "words", "--json")
    assert json.loads(ran.out).items() >= {"kind": "words", "lines": 180}.items()


@pytest.mark.usefixtures("small_corpus")
def test_demo(weft: Callable[..., Any], calls: list[SimpleNamespace], tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    ran = weft("demo", folder, "--minutes", "0.5", "--device", "cpu")
    assert (ran.status, ran.err) == (0, "")
    assert calls[0].train == f"{folder}/train.{{en,de,fr}}"
    assert (calls[0].minutes, calls[0].out, calls[0].device) == (0.5, folder / "model", "cpu")
    directions = [(call.from_language, call.to_language) for call in calls if call.name == "evaluate"]
    assert len(set(directions)) == 6
    for shown in (
        "all\t38.51\t25%",
        "fr  one fr\n  → de  ONE FR",
        f"{folder}/attention.html",
        "weft train translate",
    ):
        assert shown in ran.out
    assert (folder / "attention.html").is_file()


@pytest.mark.usefixtures("small_corpus")
def test_demo_replaces_its_own_folder_alone(weft: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    ran = weft("demo", tmp_path)
    assert (ran.status, ran.err) == (
        2,
        f"weft: error: {tmp_path}: in use: name another folder, as in weft demo my-demo\n",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert weft("demo", tmp_path / "mine.txt").err.startswith(f"weft: error: {tmp_path}/mine.txt: a file")
    folder = tmp_path / "demo"
    assert weft("demo", folder).status == 0
    (folder / "model" / "old").write_text("old")
    assert weft("demo", folder, "--json").status == 0
    assert not (folder / "model" / "old").exists()


@pytest.mark.usefixtures("small_corpus")
def test_demo_speaks_json(weft: Callable[..., Any], tmp_path: Path) -> None:
    events = [json.loads(line) for line in weft("demo", tmp_path / "demo", "--json").out.splitlines()]
    assert {name: events[-1][name] for name in ("event", "bleu", "exact")} == {
        "event": "demo",
        "bleu": pytest.approx(38.51),
        "exact": 0.25,
    }
    assert events[-2]["event"] == "finish"


def test_bench_hands_its_options_on(
    weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def benchmarks(command: list[str], *, cwd: Path, check: bool, stdout: Any = None) -> SimpleNamespace:
        asked.append(command)
        if "--json" in command:
            Path(command[-1]).write_text('[{"weft": 2.0}]\n')
        return SimpleNamespace(returncode=3)

    asked: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", benchmarks)
    monkeypatch.setattr("weft.cli.bench.CHECKOUT", tmp_path)
    assert weft("bench").err.startswith("weft: error: the benchmarks are in the source checkout alone")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__main__.py").touch()
    assert weft("bench", "decoding", "--long", "--run", "/runs/a", "--minutes", "2").status == 3
    start = [sys.executable, "-m", "benchmarks"]
    assert asked == [[*start, "decoding", "--long", "--run", "/runs/a", "--minutes", "2.0"]]
    assert weft("bench", "--json").out == '[{"weft": 2.0}]\n'
