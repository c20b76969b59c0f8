"""A language model from the command line: trained, and going on with a text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import weft.api
from weft.cli import main

RHYME = "The cat sat on the mat.\nThe dog lay in the fog.\n\n"
SMALL = ("model.width=32", "model.decoder_layers=1", "model.max_length=64", "language.length=16")
SMALL += ("train.batch_tokens=128", "train.warmup=2", "train.learning_rate=0.01", "train.precision=float32")


class Ran(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of characters that has seen a rhyme a few times, and a folder of two files at that."""
    folder = tmp_path_factory.mktemp("books")
    for name in ("one.txt", "two.txt"):
        (folder / name).write_text(RHYME * 15)
    out = folder / "run"
    arguments = ["train", "language-model", "--train", f"{folder}/*.txt", "--out", str(out), "--steps", "15"]
    arguments += ["--tokenizer", "characters", "--preset", "tiny", *(f"--set={setting}" for setting in SMALL)]
    assert main(arguments) == 0
    return out


def test_a_run_tells_what_it_is(command: Callable[..., Ran], run: Path) -> None:
    facts = json.loads(command("info", run, "--json").out)
    assert (facts["task"], facts["result"]["steps"]) == ("language-model", 15)
    assert facts["run"]["tokenizer"]["kind"] == "characters"
    assert facts["result"]["scores"].keys() == {"perplexity", "bits_per_byte"}
    assert "\nbits per byte: " in command("info", run).out


def test_training_says_how_to_go_on(command: Callable[..., Ran], run: Path, tmp_path: Path) -> None:
    options = [f"--set={setting}" for setting in SMALL]
    text = run.parent / "one.txt"
    (tmp_path / "rows.jsonl").write_text(json.dumps({"body": RHYME * 9}) + "\n")
    begun = command(
        *("train", "language-model", "--train", tmp_path / "rows.jsonl", "--text-column", "body"),
        *("--valid", text, "--out", tmp_path / "run", "--steps", 2, "--tokenizer", "words", *options),
    )
    assert begun.status == 0
    assert f'Next: weft generate {tmp_path / "run"} --prompt "..." --temperature 0.8' in begun.out
    resumed = command("train", "--resume", tmp_path / "run")
    assert (resumed.status, resumed.err) == (0, "")


def test_what_is_written_follows_the_prompt(command: Callable[..., Ran], run: Path) -> None:
    expected = weft.api.load(run).generate("The cat", tokens=20).text
    assert command("generate", run, "--prompt", "The cat", "--tokens", 20) == (0, f"The cat{expected}\n", "")
    ran = command("generate", run, "--tokens", 5)
    assert (ran.status, len(ran.out), ran.err) == (0, 6, "")


def test_it_appears_as_it_is_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("sys.stdout.write", written.append)
    assert main(["generate", str(run), "--prompt", "The", "--tokens", "9"]) == 0
    assert (written[0], written[-1], len(written)) == ("The", "\n", 11)


def test_json_says_each_piece_and_why_it_ends(command: Callable[..., Ran], run: Path) -> None:
    found = json.loads(command("generate", run, "--prompt", "The cat", "--tokens", 12, "--json").out)
    assert found.keys() == {"text", "tokens", "logprobs", "ended"}
    assert "".join(found["tokens"]).replace("▁", " ") == found["text"]
    assert (len(found["tokens"]), len(found["logprobs"]), found["ended"]) == (12, 12, "length")
    assert all(number <= 0 for number in found["logprobs"])
    assert command("generate", run, "--prompt", "The cat", "--tokens", 12).out == f"The cat{found['text']}\n"


def test_every_option_changes_what_is_written(command: Callable[..., Ran], run: Path) -> None:
    def text(*options: object) -> str:
        ran = command("generate", run, "--prompt", "The d", "--tokens", 16, *options)
        assert (ran.status, ran.err) == (0, "")
        return ran.out.removeprefix("The d")

    plain, drawn = text(), text("--seed", 3, "--temperature", 3)
    assert drawn == text("--seed", 3, "--temperature", 3) != plain
    for options in (
        ("--seed", 4, "--temperature", 3),
        ("--seed", 3, "--temperature", 0.5),
        ("--seed", 3, "--temperature", 3, "--top-k", 3),
        ("--seed", 3, "--temperature", 3, "--top-p", 0.5),
        ("--seed", 3, "--temperature", 3, "--min-p", 0.5),
        ("--seed", 3, "--temperature", 3, "--repetition-penalty", 5),
        ("--seed", 3, "--temperature", 3, "--no-repeat-ngram", 1),
    ):
        assert text(*options) != drawn
    first = plain[3]
    cut = plain[: plain.index(first)]
    assert text("--stop", first) == text("--stop", "zzz", "--stop", first) == f"{cut}\n"
    best = weft.api.load(run).generate("The d", tokens=16, beams=4).text
    assert text("--beam", 4) == f"{best}\n"
    assert text("--beam", 1) == plain


def test_wrong_calls_have_one_line(command: Callable[..., Ran], run: Path, tmp_path: Path) -> None:
    def refusal(*arguments: object) -> str:
        ran = command(*arguments)
        assert (ran.status, ran.err.count("\n")) == (2, 1)
        assert ran.err.startswith("weft: error: ")
        return ran.err

    assert "60 to write are more than the 64 the model takes: write at most 57" in refusal(
        "generate", run, "--prompt", "The cat", "--tokens", 60
    )
    assert "--top-p: input should be less than or equal to 1" in refusal("generate", run, "--top-p", 2)
    assert "--temprature" in refusal("generate", run, "--temprature", 1)
    assert "beams and seed: a text is either searched for or drawn" in refusal(
        "generate", run, "--beam", 3, "--seed", 1
    )
    assert "a model for the task language-model, where one for translate is needed" in refusal(
        "translate", run, "a"
    )
    (tmp_path / "empty.txt").write_text("")
    told = refusal(
        "train", "language-model", "--train", tmp_path / "empty.txt", "--out", tmp_path / "x", "--steps", 1
    )
    assert str(tmp_path / "empty.txt") in told
    assert not (tmp_path / "x").exists()


def test_a_text_is_held_to_what_is_asked(command: Callable[..., Ran], run: Path, tmp_path: Path) -> None:
    pytest.importorskip("llguidance")
    found = json.loads(command("generate", run, "--prompt", "The ", "--regex", "(cat|dog) sat", "--json").out)
    assert found["text"] in ("cat sat", "dog sat") and found["ended"] == "end"
    ran = command("generate", run, "--prompt", "The ", "--choice", "cat", "--choice", "fog")
    assert ran.out in ("The cat\n", "The fog\n")
    (schema := tmp_path / "schema.json").write_text('{"enum": ["hat"]}')
    ran = command("generate", run, "--prompt", "T", "--schema", schema)
    assert (ran.status, ran.err) == (
        2,
        "weft: error: no text meets the grammar\n",
    )  # no quotation marks were learned
    words = ("generate", run, "--prompt", "The ", "--tokens", 6)
    word = command(*words).out.split()[1]
    assert word not in command(*words, "--bias", f"{word}=-60").out.split()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bias", "dog"], "--bias dog: a word and a number, as in 'dog=-5'"),
        (["--bias", "dog=nan"], "--bias dog=nan: a word and a number"),
        (["--schema", "nowhere.json"], "nowhere.json: No such file or directory"),
        (["--regex", "("], "the grammar cannot be read"),
    ],
)
def test_what_cannot_be_asked(
    command: Callable[..., Ran], run: Path, options: list[str], message: str
) -> None:
    ran = command("generate", run, *options)
    assert ran.status == 2 and message in ran.err and len(ran.err.splitlines()) == 1
