"""The loop: exact however it is stopped, split or started, and it learns."""

import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import weft.api
from weft.errors import UserError
from weft.runs.checkpoints import latest_checkpoint
from weft.runs.log import read_log
from weft.runs.tensors import read_tensors
from weft.tasks.translate import Translate
from weft.training import loop
from weft.training.report import Result, Silent
from weft.training.world import World

from .conftest import SMALL

Begin = Callable[..., Result]


class Stop(Silent):
    """Ends a run from outside at a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, step: int, *details: Any, **more: Any) -> None:
        if step == self.at:
            raise InterruptedError


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


@pytest.mark.parametrize("at", [1, 14, 19])
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    at: int, tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    settings = {"model__dropout": 0.2, "train__average": 0.3}
    left_alone = begin(tmp_path / "alone", **settings)
    with pytest.raises(InterruptedError):
        begin(tmp_path / "stopped", report=Stop(at), **settings)
    resumed = weft.api.resume(tmp_path / "stopped")
    assert weights(tmp_path / "stopped") == weights(tmp_path / "alone")
    timeless = {"seconds": 0.0}
    assert resumed._replace(**timeless) == left_alone._replace(**timeless)
    logs = [read_log(tmp_path / name / "metrics.jsonl") for name in ("stopped", "alone")]
    assert [line["step"] for line in logs[0]] == [line["step"] for line in logs[1]]


def test_the_resolved_configuration_reproduces_the_run(tmp_path: Path, begin: Begin) -> None:
    begin(tmp_path / "one", model__dropout=0.1)
    weft.api.train(config=tmp_path / "one" / "run.json", out=tmp_path / "two")
    assert weights(tmp_path / "two") == weights(tmp_path / "one")


def test_a_run_goes_on_with_the_text_it_began_with_alone(
    tmp_path: Path, begin: Begin, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "TELL_SECONDS", 0.0)
    text = {language: corpus / f"train.{language}" for language in ("en", "de")}
    before = {language: path.read_text() for language, path in text.items()}
    left_alone = begin(tmp_path / "alone")
    for name in ("changed", "touched"):
        with pytest.raises(InterruptedError):
            begin(tmp_path / name, report=Stop(9))
    try:
        text["en"].write_text(before["en"].replace("a", "b", 1))
        with pytest.raises(UserError, match="not the text that this run began with"):
            weft.api.resume(tmp_path / "changed")
    finally:
        text["en"].write_text(before["en"])
    resumed = weft.api.resume(tmp_path / "touched")
    assert resumed.steps == left_alone.steps
    assert weights(tmp_path / "touched") == weights(tmp_path / "alone")
    assert not list(tmp_path.glob("*/data/*-again"))


def test_other_seeds_give_other_weights(tmp_path: Path, begin: Begin) -> None:
    begin(tmp_path / "one")
    begin(tmp_path / "two", train__seed=2)
    assert weights(tmp_path / "two") != weights(tmp_path / "one")


def close(one: Path, other: Path) -> None:
    ours, theirs = read_tensors(one / loop.LAST), read_tensors(other / loop.LAST)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_accumulation_changes_nothing_but_rounding(optimizer: str, tmp_path: Path, begin: Begin) -> None:
    """Parts of a batch have uneven counts of tokens: only the sum over all by the count of all is right."""
    settings = {"model__dropout": 0.0, "train__optimizer": optimizer, "train__learning_rate": 1e-3}
    settings["train__precision"] = "float32"
    begin(tmp_path / "whole", steps=6, **settings)
    begin(tmp_path / "parts", steps=6, train__accumulate=3, **settings)
    close(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize(
    "fields",
    [
        {"train__optimizer": "adamw"},
        {"train__learning_rate": 1e-3},
        {"train__weight_decay": 0.1},
        {"train__clip": 0.01, "train__optimizer": "adamw"},
        {"train__schedule": "cosine"},
        {"train__schedule": "inverse_sqrt"},
        {"train__warmup": 0},
        {"train__decay": 0.2},
        {"train__smoothing": 0.0},
        {"train__batch_tokens": 96},
        {"data__max_tokens": 6},
        {"tokenizer__kind": "characters"},
        {"tokenizer__size": 20, "tokenizer__kind": "words"},
    ],
    ids=str,
)
def test_every_setting_changes_the_result(
    fields: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, begin: Begin
) -> None:
    plain = tmp_path_factory.getbasetemp() / "plain"
    if not plain.exists():
        begin(plain, steps=8)
    out = tmp_path_factory.mktemp("changed") / "run"
    begin(out, steps=8, **fields)
    assert weights(out) != weights(plain)


def test_patience_ends_a_run_early(tmp_path: Path, begin: Begin) -> None:
    result = begin(
        tmp_path / "run", steps=60, train__learning_rate=10.0, train__validations=30, train__patience=2
    )
    assert result.steps < 60
    assert result.kept == "best"


def test_an_average_is_kept_where_it_is_the_best(tmp_path: Path, begin: Begin) -> None:
    """At a rate that never falls, and is too high, weights jump about their mean."""
    settings = {"train__learning_rate": 0.03, "train__decay": 0.0, "train__validations": 1}
    averaged = begin(tmp_path / "averaged", steps=60, train__average=0.5, **settings)
    plain = begin(tmp_path / "plain", steps=60, train__average=0.0, **settings)
    assert (averaged.kept, plain.kept) == ("average", "last")
    assert averaged.loss is not None
    assert plain.loss is not None
    assert averaged.loss < plain.loss


def test_minutes_are_kept(tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that stands still while other programs have the processor."""
    monkeypatch.setattr(time, "monotonic", time.process_time)
    began = time.monotonic()
    result = begin(tmp_path / "run", steps=None, train__minutes=0.15)
    assert result.steps > 20
    assert 7.5 < time.monotonic() - began < 10.5


def test_held_out_pairs_that_are_too_long_are_left_out_and_counted(tmp_path: Path, begin: Begin) -> None:
    told: list[str] = []

    class Ear(Silent):
        def message(self, text: str) -> None:
            told.append(text)

    result = begin(tmp_path / "run", steps=2, report=Ear(), model__max_length=7)
    assert result.loss is not None
    for what in ("pairs", "held-out pairs"):
        (line,) = [
            line for line in told if re.fullmatch(rf"\d+ {what} left out as longer than 7 tokens", line)
        ]
        assert int(line.split()[0]) > 0


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        (
            {"model__vocabulary": 10},
            "model.vocabulary is the tokenizer's, which is [0-9]+: leave it out",
        ),
        ({"model__special": {"end": 1}}, "--set: model.special is the tokenizer's: leave it out"),
        ({"train__minutes": math.inf, "steps": None}, "train.minutes: .*finite"),
        ({"train__learning_rate": math.inf}, "train.learning_rate: .*finite"),
        ({"train__epochs": 1e300, "steps": None}, "train.epochs: .*10000"),
        ({"train__seed": 10**30}, "train.seed: "),
    ],
    ids=str,
)
def test_settings_that_cannot_be_leave_the_folder_free(
    settings: dict[str, Any], complaint: str, tmp_path: Path, begin: Begin
) -> None:
    with pytest.raises(UserError, match=complaint):
        begin(tmp_path / "run", **settings)
    assert not (tmp_path / "run").exists()


def test_the_precision_that_was_found_is_written_down(tmp_path: Path, begin: Begin) -> None:
    begin(tmp_path / "run", steps=1)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["train"]["precision"] in ("float32", "bfloat16")


def test_full_memory_is_told_with_the_way_out(
    tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loss(*arguments: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Translate, "loss", loss)
    with pytest.raises(UserError, match=r"step 0: the memory of cpu is full: .*train\.accumulate=2"):
        begin(tmp_path / "run")


def test_a_process_without_a_share_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    added = []
    monkeypatch.setattr("weft.training.world.dist.all_reduce", lambda tensor: added.append(tensor.clone()))
    world, model = World(), torch.nn.Linear(2, 1)
    world.size = 2
    world.sum_gradients(model)
    assert [tensor.tolist() for tensor in added] == [[0.0, 0.0, 0.0]]
    assert model.weight.grad is not None


def test_wrong_calls_leave_the_folder_free(tmp_path: Path, begin: Begin) -> None:
    out = tmp_path / "run"
    with pytest.raises(UserError, match='unknown key "model.widht" .*width'):
        begin(out, model__widht=3)
    with pytest.raises(UserError, match="needs both"):
        weft.api.train(train="x.{a,b}", out=out, from_language="a")
    with pytest.raises(UserError, match="minutes and steps"):
        begin(out, steps=3, train__minutes=1.0)
    with pytest.raises(UserError, match="no such file|not exist|No such"):
        weft.api.train(train=str(tmp_path / "none.{a,b}"), out=out, steps=1)
    with pytest.raises(UserError, match='device "xpu9" is not there'):
        weft.api.train(train="x.{a,b}", out=out, device="xpu9")
    with pytest.raises(UserError, match='no task "translat".*translate'):
        weft.api.train("translat", train="x.{a,b}", out=out)
    assert not out.exists()
    begin(out, steps=1)
    with pytest.raises(UserError, match="--resume"):
        begin(out, steps=1)


def command(corpus: Path, out: Path, *, steps: int) -> list[str]:
    settings = [f"--set={name}={value}" for name, value in {**SMALL, "model.dropout": 0.1}.items()]
    data = ["--train", f"{corpus}/train.{{en,de}}", "--valid", f"{corpus}/valid.{{en,de}}"]
    run = ["--from", "en", "--to", "de", "--out", str(out), "--steps", str(steps)]
    return ["translate", *data, *run, *settings]


def start(arguments: list[str], *launcher: str) -> subprocess.Popen[bytes]:
    """The real command, in its own process."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    begin = [sys.executable, *(launcher or ("-c", "from weft.cli import main; main()"))]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [*begin, "train", *arguments], stdout=quiet, stderr=subprocess.PIPE, env=environment
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, complaint = process.communicate()
    assert process.returncode == 0, complaint.decode()


@pytest.mark.slow
def test_killed_at_random_moments_the_command_ends_with_the_same_bits(tmp_path: Path, corpus: Path) -> None:
    """Twenty kills in one run, from reading the data to the last validation; then it may finish."""
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    often = "--set=train.validations=60"  # and as many checkpoints, so that a short life gets somewhere
    finish(start([*command(corpus, alone, steps=3000), often]))
    chance = random.Random(0)
    kills = 0
    arguments = [*command(corpus, killed, steps=3000), often]
    while kills < 20:
        process = start(arguments)
        try:
            process.wait(timeout=chance.uniform(2.0, 7.0))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
        if (killed / "manifest.json").exists():
            arguments = ["--resume", str(killed)]
    finish(start(["--resume", str(killed)]))
    assert kills >= 3
    assert weights(killed) == weights(alone)


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path: Path, corpus: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text("from weft.cli import main\nmain()\n")
    settings = ["--set=model.dropout=0.0"]
    finish(start([*command(corpus, tmp_path / "one", steps=10), *settings]))
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", str(script))
    finish(start([*command(corpus, tmp_path / "two", steps=10), *settings], *launcher))
    close(tmp_path / "one", tmp_path / "two")
    losses = [
        [
            line.get("loss", line.get("validation_loss"))
            for line in read_log(tmp_path / name / "metrics.jsonl")
        ]
        for name in ("one", "two")
    ]
    assert len(losses[0]) > 3
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_damaged_checkpoint_is_named(tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "TELL_SECONDS", 0.0)
    with pytest.raises(InterruptedError):
        begin(tmp_path / "run", report=Stop(15))
    checkpoint = latest_checkpoint(tmp_path / "run")
    assert checkpoint is not None
    file = checkpoint / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        weft.api.resume(tmp_path / "run")
