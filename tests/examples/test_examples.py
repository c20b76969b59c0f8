"""The examples run: on made-up lines in the shape of the real data, and for a few steps."""

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Load an example, whose data are below the test's own folder."""
    monkeypatch.setenv("WEFT_DATA", str(tmp_path))

    def load(name: str) -> Any:
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def made_up(*kinds: tuple[str, str], count: int) -> list[tuple[str, str]]:
    return [(label, f"it is {word} number {number}") for number in range(count) for label, word in kinds]


def rests_on(said: str, texts: tuple[str, ...], labels: set[str]) -> None:
    """Each text stands with one of the labels, and tokens of its own with their scores."""
    parts = said.split("\n\n")[1:]
    assert [part.split("\n")[0] for part in parts] == list(texts)
    for part in parts:
        text, answer, *marks = part.strip("\n").split("\n")
        assert answer.split(",")[0] in labels and answer.endswith("sure; it rests on")
        assert len(marks) == 4
        for mark in marks:
            score, token = mark.split(maxsplit=1)
            assert float(score) == float(score) and token in text


def test_sentiment(example: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sentiment, data = example("sentiment"), tmp_path / "sst2"
    sentiment.main([])
    assert capsys.readouterr().out.startswith(f"Skipped: there is no {data}/phrases_train.tsv.gz")
    data.mkdir()
    rows = [f"{text}\t{label}" for label, text in made_up(("0", "dull"), ("1", "fine"), count=30)]
    table = "sentence\tlabel\n" + "\n".join(rows) + "\n"
    (data / "phrases_train.tsv.gz").write_bytes(gzip.compress(table.encode()))
    for name in ("dev", "test"):
        (data / f"{name}.tsv").write_text(table)
    sentiment.main(["--steps", "2", "--out", str(tmp_path / "run")])
    said = capsys.readouterr().out
    assert said.startswith("Training for 2 steps\nAccuracy on the 60 sentences of the test set: ")
    rests_on(said, sentiment.REVIEWS, {"negative", "positive"})
    assert (tmp_path / "run.html").is_file()


def test_spam(example: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spam, data = example("spam"), tmp_path / "sms_spam"
    spam.main([])
    assert capsys.readouterr().out.startswith(f"Skipped: there is no {data}/SMSSpamCollection.tsv")
    data.mkdir()
    rows = [f"{label}\t{text}" for label, text in made_up(("ham", "late"), ("spam", "free"), count=30)]
    (data / "SMSSpamCollection.tsv").write_text("\n".join([*rows, *rows]) + "\n")
    spam.main(["--steps", "2", "--out", str(tmp_path / "run")])
    said = capsys.readouterr().out
    assert said.startswith("Training for 2 steps\nF1 of spam on 12 other messages: ")
    rests_on(said, spam.MESSAGES, {"ham", "spam"})
    train, test = ((tmp_path / "run" / f"{name}.tsv").read_text().splitlines() for name in ("train", "test"))
    assert (len(train), len(test), set(train) & set(test)) == (48, 12, set())
