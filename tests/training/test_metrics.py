"""What a run says of itself: metrics, curves, and words of warning."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import weft.api
from weft.errors import UserError
from weft.nn.loss import Loss
from weft.runs.log import read_log
from weft.tasks.translate import Translate
from weft.training import metrics
from weft.training.curves import draw_curves
from weft.training.report import Result, Silent

Begin = Callable[..., Result]


class Listener(Silent):
    """Somebody who remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.facts: dict[str, Any] = {}

    def start(self, run: Any) -> None:
        self.facts = dict(run)

    def message(self, text: str) -> None:
        self.said.append(text)


def test_metrics_hold_steps_validations_and_the_end(
    tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "EVERY", 5)
    result = begin(tmp_path / "run", steps=20)
    records = read_log(tmp_path / "run" / "metrics.jsonl")
    steps = [record for record in records if "learning_rate" in record]
    assert [record["step"] for record in steps] == [5, 10, 15, 20]
    assert all(record["loss"] > 0 and record["tokens_per_second"] > 0 for record in steps)
    validations = [record for record in records if "validation_loss" in record]
    assert [record["step"] for record in validations] == [6, 12, 18]
    assert all("bleu" in record for record in validations)
    assert records[-1]["finished"]
    assert records[-1]["steps"] == result.steps
    picture = ElementTree.parse(tmp_path / "run" / "curves.svg").getroot()  # noqa: S314
    text = "".join(picture.itertext())
    assert "validation_loss" in text
    assert "bleu" in text


def test_curves_of_a_run_without_validation(tmp_path: Path) -> None:
    lines = [f'{{"step": {step}, "loss": {5 - step / 10}, "learning_rate": 0.1}}\n' for step in (10, 20)]
    (tmp_path / "metrics.jsonl").write_text("".join([*lines, '{"step": 20, "loss": null}\n']))
    draw_curves(tmp_path / "metrics.jsonl", tmp_path / "curves.svg")
    paths = [
        element
        for element in ElementTree.parse(tmp_path / "curves.svg").iter()  # noqa: S314
        if element.get("fill") == "none"
    ]
    assert len(paths) == 1


def test_tensorboard_gets_the_same(tmp_path: Path, begin: Begin) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    begin(tmp_path / "run", steps=20, train__tensorboard=True)
    events = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    records = read_log(tmp_path / "run" / "metrics.jsonl")
    losses = [record["loss"] for record in records if "learning_rate" in record]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(losses)
    assert len(events.Scalars("validation_loss")) == 3


def test_a_loss_that_is_no_number_stops_the_run(
    tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Translate.loss

    def broken(self: Translate, model: torch.nn.Module, batch: Any, **options: Any) -> dict[str, Loss]:
        losses = whole(self, model, batch, **options)
        broken.calls += 1  # type: ignore[attr-defined]
        factor = float("nan") if broken.calls == 8 else 1.0  # type: ignore[attr-defined]
        return {name: Loss(loss.total * factor, loss.count) for name, loss in losses.items()}

    broken.calls = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(Translate, "loss", broken)
    with pytest.raises(
        UserError, match=r"step 7: the loss is not finite.*train\.{en,de}:\d+, .* more\."
    ) as raised:
        begin(tmp_path / "run", steps=20, train__validations=1)
    assert "none yet" in str(raised.value)


def test_what_is_told_before_the_first_step(tmp_path: Path, begin: Begin) -> None:
    listener = Listener()
    begin(tmp_path / "run", steps=2, report=listener, model__width=64)
    assert "GFLOP" in listener.facts["step"]
    assert listener.facts["expected"].startswith("2 steps in about ")
    assert any("few for" in said for said in listener.said), (
        "a few thousand words, and a hundred thousand parameters"
    )


def test_a_word_when_the_text_is_learned_by_heart(
    tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = Listener()
    worse = iter(range(1, 100))
    validate = Translate.validate

    def rising(self: Translate, model: torch.nn.Module, *, scored: int) -> Any:
        found = validate(self, model, scored=scored)
        return found and found._replace(loss=float(next(worse)))

    monkeypatch.setattr(Translate, "validate", rising)
    begin(tmp_path / "run", steps=20, train__validations=5, report=listener)
    assert sum("by heart (the best" in said for said in listener.said) == 1


def test_info_tells_how_it_ended(tmp_path: Path, begin: Begin) -> None:
    result = begin(tmp_path / "run", steps=3)
    assert weft.info(tmp_path / "run")["result"].steps == result.steps
