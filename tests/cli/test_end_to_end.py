"""The real thing, small: a run trained through the command line, and all that can be done with it."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from weft.cli import main
from weft.corpus import write_corpus
from weft.runs.checkpoints import checkpoint_step

SMALL = ("tokenizer.size=400", "model.width=32", "model.encoder_layers=1", "train.batch_tokens=512")


class Ran(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def weft(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*arguments: object) -> Ran:
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capfd.readouterr())

    return run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_corpus(folder, train=400, valid=10, test=3)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A model between three languages that has seen next to nothing."""
    out = tmp_path_factory.mktemp("runs") / "run"
    arguments = ["train", "translate", "--train", f"{data}/train.{{en,de,fr}}", "--out", str(out)]
    arguments += ["--steps", "8", "--preset", "tiny", *(f"--set={setting}" for setting in SMALL)]
    status = main(arguments)
    assert status == 0
    return out


def test_a_run_tells_what_it_is(weft: Callable[..., Ran], run: Path, data: Path) -> None:
    facts = json.loads(weft("info", run, "--json").out)
    assert facts["model"]["width"] == 32
    assert facts["run"]["train"]["steps"] == 8
    assert facts["run"]["preset"] == "tiny"
    assert facts["run"]["data"]["train"] == [f"{data}/train.{{en,de,fr}}"]
    assert (facts["result"]["steps"], facts["result"]["kept"]) == (8, "last")
    out = weft("info", run).out
    assert "\nsteps: 8\nweights: last\n" in out
    assert "model.width: 32\n" in out
    assert "preset: tiny\n" in out
    assert "unfinished" not in out
    (checkpoint, *_) = (run / "checkpoints").iterdir()
    for command in (("info", checkpoint), ("train", "--resume", checkpoint), ("translate", checkpoint, "a")):
        message = f"weft: error: {checkpoint}: a checkpoint of a run: give the run itself: {run}\n"
        assert weft(*command) == (2, "", message)


def test_a_run_that_has_not_ended_says_how_it_goes_on(
    weft: Callable[..., Ran], run: Path, tmp_path: Path
) -> None:
    stopped = tmp_path / "run"
    shutil.copytree(run, stopped)
    records = (stopped / "metrics.jsonl").read_text().splitlines(keepends=True)
    (stopped / "metrics.jsonl").write_text("".join(records[:-1]))
    assert f"go on with: weft train --resume {stopped}" in weft("info", stopped).out
    settings = (stopped / "run.json").read_bytes()
    (stopped / "run.json").write_bytes(b"?" + settings[1:])
    ran = weft("info", stopped)
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert "run.json: the file is damaged" in ran.err


def test_a_text_in_every_direction(weft: Callable[..., Ran], run: Path) -> None:
    for source, target in (("de", "en"), ("en", "fr"), ("fr", "de")):
        ran = weft("translate", run, "Ein Hund.", "--from", source, "--to", target, "--max-length", 5)
        assert (ran.status, ran.out.count("\n"), ran.err) == (0, 1, "")


def test_lines_of_a_file(weft: Callable[..., Ran], run: Path, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("Ein Hund.\n\nDie Katze läuft.\n")
    options = ("--from", "de", "--to", "en", "--max-length", 6)
    ran = weft("translate", run, "--input", tmp_path / "in", "--output", tmp_path / "out", *options)
    assert ran == (0, "", "")
    first, empty, third, end = (tmp_path / "out").read_text().split("\n")
    assert (empty, end) == ("", "")
    answers = [
        json.loads(line)
        for line in weft("translate", run, "--input", tmp_path / "in", "--json", *options).out.splitlines()
    ]
    assert [[found["text"] for found in answer["translations"]] for answer in answers] == [
        [first],
        [""],
        [third],
    ]
    assert answers[0]["translations"][0]["source_tokens"][0] == "<2en>"
    assert answers[0]["translations"][0]["alignment"]


def test_words_that_must_not_or_must_be_there(weft: Callable[..., Ran], run: Path) -> None:
    options = ("--from", "de", "--to", "en", "--max-length", 30)
    # That banned words stay away is held in tests/test_translator.py; this model writes few words at all.
    assert weft("translate", run, "Ein Hund.", *options, "--ban", "house", "--ban", "the dog").status == 0
    forced = weft("translate", run, "Ein Hund.", *options, "--force", "the house", "--force", "dog")
    assert forced.status == 0
    assert "the house" in forced.out
    assert "dog" in forced.out
    ran = weft("translate", run, "Ein Hund.", *options, "--ban", " ")
    assert (ran.status, ran.err.count("\n")) == (2, 1)


def test_a_source_too_long_is_refused_or_cut(weft: Callable[..., Ran], run: Path) -> None:
    long = "Ein Hund und eine Katze. " * 300
    ran = weft("translate", run, long, "--from", "de", "--to", "en", "--max-length", 3, "--beam", 1)
    assert (ran.status, ran.out) == (2, "")
    assert "--truncate" in ran.err
    ran = weft(
        "translate", run, long, "--from", "de", "--to", "en", "--max-length", 3, "--beam", 1, "--truncate"
    )
    assert (ran.status, ran.out.count("\n")) == (0, 1)
    assert "were cut" in ran.err


def test_a_measure(weft: Callable[..., Ran], run: Path, data: Path) -> None:
    ran = weft(
        "evaluate",
        run,
        "--data",
        f"{data}/test.{{en,de,fr}}",
        "--from",
        "fr",
        "--to",
        "de",
        "--beam",
        1,
        "--json",
    )
    found = json.loads(ran.out)
    assert (found["direction"], found["sentences"]) == ("fr-de", 3)
    assert 0 <= found["bleu"] <= 100
    assert "tok:13a" in found["bleu_signature"]


def test_a_page(weft: Callable[..., Ran], run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ran = weft("inspect", run, "Ein Hund läuft.", "--out", page, "--from", "de", "--to", "en")
    assert (ran.status, ran.err) == (0, "")
    assert "Ein Hund läuft." in page.read_text()


def test_other_mistakes_get_one_line(weft: Callable[..., Ran], run: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    for file in run.glob("*.json"):
        shutil.copy(file, begun)
    manifest = json.loads((begun / "manifest.json").read_text())
    manifest["files"] = {name: record for name, record in manifest["files"].items() if ".safe" not in name}
    (begun / "manifest.json").write_text(json.dumps(manifest))
    options = ("--from", "de", "--to", "en")
    for arguments, message in [
        (
            ("translate", begun, "Ein Hund.", *options),
            f"no model yet: go on with it: weft train --resume {begun}",
        ),
        (("inspect", run, " ", "--out", tmp_path / "page.html", *options), "there is no text to translate"),
        (("import", run, "--out", tmp_path / "new"), f"{run}: a folder of weft's already"),
    ]:
        ran = weft(*arguments)
        assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert message in ran.err


def test_a_run_that_is_done_stays_as_it_is(weft: Callable[..., Ran], run: Path) -> None:
    before = (run / "model.safetensors").read_bytes()
    ran = weft("train", "--resume", run)
    assert (ran.status, ran.err) == (0, "")
    assert "the run is finished: nothing is left to do\n" in ran.out
    assert "steps: 8\n" in ran.out
    assert (run / "model.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "de"], "several directions"),
        (["--from", "es", "--to", "en"], 'language "es" is not known here (known: de, en, fr)'),
        (["--from", "de", "--to", "en", "--beam", "0"], "--beam: input should be greater than or equal to 1"),
        (
            ["--from", "de", "--to", "en", "--nbest", "0"],
            "--nbest: input should be greater than or equal to 1",
        ),
        (
            ["--from", "de", "--to", "en", "--nbest", "3", "--beam", "2"],
            "--nbest 3 needs --beam 3 or more, not 2",
        ),
        (
            ["--from", "de", "--to", "en", "--top-k", "5"],
            "--top-k: only sampling uses this; set --sample too",
        ),
        (
            ["--from", "de", "--to", "en", "--force", "dog", "--sample"],
            "--force: only beam search uses this; leave out this or --sample",
        ),
        (
            ["--from", "de", "--to", "en", "--length-penalty", "1e308"],
            "--length-penalty: input should be less than or equal to 5, not 1e+308",
        ),
        (
            ["--from", "de", "--to", "en", "--length-penalty", "nan"],
            "--length-penalty: input should be a finite number, not NaN",
        ),
        (
            ["--from", "de", "--to", "en", "--sample", "--temperature", "inf"],
            "--temperature: input should be a finite number, not Infinity",
        ),
        (["--from", "de", "--to", "en", "--device", "quantum"], 'device "quantum" is not there'),
    ],
)
def test_a_mistake_in_use_gets_one_line(
    weft: Callable[..., Ran], run: Path, arguments: list[str], message: str
) -> None:
    ran = weft("translate", run, "Ein Hund.", *arguments)
    assert (ran.status, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert message in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "model.widht=32"],
            'weft: error: --set: unknown key "model.widht" (did you mean "model.width"?)',
        ),
        (
            ["--set", "train.clip=much"],
            'weft: error: --set: train.clip: input should be a valid number, not "much"',
        ),
        (["--steps", "-1"], "weft: error: train.steps: input should be greater than 0"),
        (["--epochs", "nan"], "weft: error: train.epochs: input should be "),
        (
            ["--steps", "1", "--set", "train.batch_tokens=5"],
            "tokens, more than the 5 of a batch: set train.batch_tokens to ",
        ),
        (["--steps", "1", "--minutes", "1"], "minutes and steps are both set"),
        (["--preset", "tinny"], 'no preset "tinny" (did you mean "tiny"?)'),
        (["--from", "de"], "a direction needs both --from and --to"),
        (["--from", "de", "--to", "es"], 'no language "es", it has "en", "de", "fr"'),
        (["--config", "none.toml"], "weft: error: none.toml: No such file or directory"),
        (["--valid", "none.{de,en,fr}"], "none.de"),
    ],
)
def test_a_mistake_in_training_gets_one_line_and_leaves_nothing(
    weft: Callable[..., Ran], data: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    ran = weft(
        "train", "translate", "--train", f"{data}/train.{{en,de,fr}}", "--out", tmp_path / "run", *arguments
    )
    assert (ran.status, ran.err.count("\n")) == (2, 1)
    assert message in ran.err
    assert not (tmp_path / "run").exists()


def test_a_used_folder_is_left_alone(weft: Callable[..., Ran], run: Path, data: Path) -> None:
    ran = weft("train", "translate", "--train", f"{data}/train.{{de,en}}", "--out", run)
    assert ran.status == 2
    assert f"weft train --resume {run}" in ran.err


@pytest.mark.slow
def test_the_demo(weft: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small, and too short to learn anything: what it shows is all there."""
    monkeypatch.setattr("weft.cli.demo.HELD_OUT", 3)
    monkeypatch.setattr("weft.cli.demo.write_corpus", partial(write_corpus, train=500, valid=3))
    ran = weft("demo", tmp_path / "demo", "--minutes", "0.1", "--json")
    assert (ran.status, ran.err) == (0, "")
    last = json.loads(ran.out.splitlines()[-1])
    assert {found["direction"] for found in last["directions"]} == {
        "en-de",
        "en-fr",
        "de-en",
        "de-fr",
        "fr-en",
        "fr-de",
    }
    assert 0 <= last["bleu"] <= 100
    assert 0 <= last["exact"] <= 1
    assert (tmp_path / "demo" / "attention.html").is_file()
    assert weft("info", tmp_path / "demo" / "model").status == 0


@pytest.mark.parametrize(("asked", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_told_to_stop_saves_and_can_go_on(
    weft: Callable[..., Ran], data: Path, tmp_path: Path, asked: signal.Signals, status: int
) -> None:
    run = tmp_path / "run"
    # A shell that starts something in the background has it ignore SIGINT, and what that starts likewise.
    heeding = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    command = [sys.executable, "-c", f"{heeding}; from weft.cli import main; sys.exit(main())", "train"]
    wanted = [
        "translate",
        "--train",
        f"{data}/train.{{de,en}}",
        "--from",
        "de",
        "--to",
        "en",
        "--out",
        str(run),
    ]
    settings = [f"--set={setting}" for setting in SMALL]
    with subprocess.Popen(
        [*command, *wanted, *settings, "--steps", "100000", "--preset", "tiny", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as training:
        assert training.stdout is not None
        assert training.stderr is not None
        for line in training.stdout:
            if json.loads(line)["event"] == "step":
                training.send_signal(asked)
                break
        said = training.stderr.read()
    assert (training.returncode, said) == (
        status,
        f"weft: interrupted: go on with: weft train --resume {run}\n",
    )
    (saved,) = (run / "checkpoints").iterdir()
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps({**plan, "steps": checkpoint_step(saved) + 1}))
    ran = weft("train", "--resume", run)
    assert ran.status == 0
    assert f"resumed at step {checkpoint_step(saved):,}" in ran.out
