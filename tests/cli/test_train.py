import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from weft import description


def test_options_reach_training(
    weft: Callable[..., Any], calls: list[SimpleNamespace], tmp_path: Path
) -> None:
    ran = weft(
        *("train", "translate", "--train", "a.{de,en}", "--train", "b.tsv", "--valid", "v.{de,en}"),
        *("--from", "de", "--to", "en", "--out", tmp_path / "run", "--minutes", "12", "--preset", "tiny"),
        *(
            "--config",
            "weft.toml",
            "--set",
            "model.width=384",
            "--set",
            "train.clip=0.5",
            "--columns",
            "en,de",
        ),
        *("--device", "cpu", "--seed", "7"),
    )
    assert ran.status == 0
    (call,) = calls
    call.report = None
    assert vars(call) == {
        "name": "train",
        "arguments": ("translate",),
        "train": ["a.{de,en}", "b.tsv"],
        "valid": ["v.{de,en}"],
        "out": tmp_path / "run",
        "minutes": 12.0,
        "steps": None,
        "epochs": None,
        "seed": 7,
        "from_language": "de",
        "to_language": "en",
        "columns": "en,de",
        "preset": "tiny",
        "config": Path("weft.toml"),
        "overrides": ["model.width=384", "train.clip=0.5"],
        "device": "cpu",
        "report": None,
    }


def test_epochs_are_no_override(weft: Callable[..., Any], calls: list[SimpleNamespace]) -> None:
    weft("train", "translate", "--train", "a", "--out", "run", "--epochs", "2.5")
    assert (calls[0].epochs, calls[0].overrides) == (2.5, ())


def test_a_log_gets_plain_lines(weft: Callable[..., Any]) -> None:
    ran = weft("train", "translate", "--train", "a", "--out", "run")
    assert ran.out.splitlines() == [
        "parameters: 1,000",
        "step 1 of 10: loss 4.500, learning rate 0.001, 1,000 tokens/s, 1:30 left",
        "step 5: validation loss 2.500, BLEU 30.00, the best so far",
        "all is well",
        "step 10 of 10: loss 2.500, learning rate 0, 1,000 tokens/s, 0:00 left",
        "model: run",
        "curves: run/curves.svg",
        "time: 1:35",
        "steps: 10",
        "validation loss: 2.50",
        "BLEU: 30.00",
        "weights: average",
        "padding: 1.2%",
        'Next: weft translate run "..."',
    ]


def test_a_model_between_several_languages_is_to_be_told_which(
    weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    several = description.read_config(Path("run")).model_copy(
        update={"directions": (("en", "fr"), ("fr", "en"))}
    )
    monkeypatch.setattr("weft.description.read_config", lambda _: several)
    last = weft("train", "translate", "--train", "a", "--out", "run").out.splitlines()[-1]
    assert last == 'Next: weft translate run "..." --from en --to fr'


def test_json_is_an_event_on_each_line(weft: Callable[..., Any]) -> None:
    events = [json.loads(line) for line in weft("train", "--resume", "run", "--json").out.splitlines()]
    assert [event["event"] for event in events] == [
        "start",
        "step",
        "validation",
        "message",
        "step",
        "finish",
    ]
    assert events[1] == {
        "event": "step",
        "step": 1,
        "total": 10,
        "loss": 4.5,
        "tokens_per_second": 1000.0,
        "learning_rate": 0.001,
        "seconds_left": 90.0,
    }
    assert events[-1]["result"].items() >= {"steps": 10, "seconds": 95.0, "scores": {"bleu": 30.0}}.items()


def test_resume_goes_on_with_the_run(weft: Callable[..., Any], calls: list[SimpleNamespace]) -> None:
    assert weft("train", "--resume", "run").status == 0
    assert (calls[0].name, calls[0].arguments) == ("resume", (Path("run"),))


def test_train_alone_tells_how(weft: Callable[..., Any], calls: list[SimpleNamespace]) -> None:
    ran = weft("train")
    assert ran.status == 0
    assert ran.out.startswith("Usage: weft train ")
    assert "--resume" in ran.out
    assert not calls


def test_of_several_processes_one_speaks(weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert weft("train", "translate", "--train", "a", "--out", "run") == (0, "", "")
    monkeypatch.setenv("RANK", "0")
    assert weft("train", "translate", "--train", "a", "--out", "run").out


@pytest.mark.parametrize(
    "arguments", [("--resume", "runs/a"), ("translate", "--train", "x", "--out", "runs/a")]
)
def test_ctrl_c_tells_how_to_go_on(
    weft: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for name in ("train", "resume"):
        monkeypatch.setattr(sys.modules["weft.api"], name, stop)
    ran = weft("train", *arguments)
    assert (ran.status, ran.err) == (130, "weft: interrupted: go on with: weft train --resume runs/a\n")
