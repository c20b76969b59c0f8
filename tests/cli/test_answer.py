"""`weft answer`: from where questions and contexts come, and what is written of the answers."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from weft.cli.answer import app
from weft.errors import UserError
from weft.pipelines.answerer import Answer


class Answerer:
    """Answers with the context's last word; none where the context has no full stop."""

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> list[Answer]:
        found = []
        for context in contexts:
            text = context.rstrip(".\n").rpartition(" ")[2]
            start = context.index(text)
            known = "." in context
            found.append(
                Answer(text, start, start + len(text), 0.5, True) if known else Answer("", 0, 0, 0.9, False)
            )
        return found


@pytest.fixture(autouse=True)
def loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[Any, ...]]:
    calls: list[tuple[Any, ...]] = []

    def load(run: Path, **options: Any) -> Answerer:
        calls.append((run, options))
        return Answerer()

    monkeypatch.setattr("weft.loading.load", load)
    monkeypatch.chdir(tmp_path)
    return calls


def run(*arguments: str) -> None:
    app(["model", *arguments], result_action="return_value", exit_on_error=False, print_error=False)


def test_a_question_and_its_context(
    capsys: pytest.CaptureFixture[str], loaded: list[tuple[Any, ...]]
) -> None:
    run("--question", "Who?", "--context", "It is Rex.", "--device", "cpu")
    assert capsys.readouterr() == ("Rex\n", "")
    assert loaded == [(Path("model"), {"task": "answer", "device": "cpu", "precision": "auto"})]
    Path("page.txt").write_bytes(gzip.compress(b"A page.\r\nIt is Rex.\n"))
    run("--question", "Who?", "--context-file", "page.txt", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found == {"question": "Who?", "text": "Rex", "start": 14, "end": 17, "score": 0.5, "found": True}
    assert "A page.\nIt is Rex."[14:17] == "Rex"


def test_where_there_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    run("--question", "Who?", "--context", "It is Rex")
    assert capsys.readouterr() == ("\n", "weft: 1 of 1 questions have no answer in their context\n")


def test_a_file_of_questions(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.cli.answer.BLOCK", 2)
    records = [{"question": f"Who {n}?", "context": f"It is Rex{n}."} for n in range(5)]
    Path("asked.jsonl").write_text("\n".join(map(json.dumps, records)))
    run("--input", "asked.jsonl")
    assert capsys.readouterr().out == "Rex0\nRex1\nRex2\nRex3\nRex4\n"
    run("--input", "asked.jsonl", "--output", "answers.txt", "--json")
    assert [json.loads(line)["text"] for line in Path("answers.txt").read_text().splitlines()] == [
        f"Rex{n}" for n in range(5)
    ]
    with pytest.raises(UserError, match="answers.txt: exists"):
        run("--input", "asked.jsonl", "--output", "answers.txt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "there is no question"),
        (["--context", "It is Rex."], "there is no question"),
        (["--question", " ", "--context", "It is Rex."], "there is no question"),
        (["--question", "Who?"], "a question needs one context"),
        (["--question", "Who?", "--context", "a", "--context-file", "b"], "a question needs one context"),
        (["--question", "Who?", "--context", " "], "--context: the context is blank"),
        (["--question", "Who?", "--context-file", "blank.txt"], "blank.txt: the context is blank"),
        (["--question", "Who?", "--context-file", "latin.txt"], r"latin.txt:1: byte 0xe4 .* is not UTF-8"),
        (["--question", "Who?", "--context-file", "none.txt"], "none.txt: No such file"),
        (["--input", "asked.jsonl", "--question", "Who?"], "--input and a question"),
        (["--input", "asked.jsonl"], r"asked.jsonl:2: no context: fill it in"),
        (["--input", "other.jsonl"], r'other.jsonl: no column "context", it has "question"'),
    ],
)
def test_what_is_refused_before_a_model_is_loaded(
    arguments: list[str], message: str, loaded: list[tuple[Any, ...]]
) -> None:
    Path("blank.txt").write_text(" \n")
    Path("latin.txt").write_bytes(b"\xe4")
    Path("asked.jsonl").write_text('{"question": "a", "context": "b."}\n{"question": "a", "context": ""}\n')
    Path("other.jsonl").write_text('{"question": "a"}\n')
    with pytest.raises(UserError, match=message):
        run(*arguments)
    assert loaded == []
