"""Learning rates, plans, pace and averages."""

import math
from pathlib import Path

import pytest
import torch

from weft.config import TrainConfig
from weft.data.batches import BatchPlan
from weft.training.average import Average
from weft.training.pace import CALIBRATION, Pace
from weft.training.schedule import COSINE_FLOOR, Plan, learning_rate


def rates(config: TrainConfig, plan: Plan) -> list[float]:
    return [learning_rate(step, config, plan) for step in range(plan.steps or 0)]


def test_inverse_square_root_is_the_papers() -> None:
    """lr = D^-0.5 · min(step^-0.5, step · warmup^-1.5), with steps from 1."""
    warmup, width = 40, 512
    config = TrainConfig(schedule="inverse_sqrt", warmup=warmup, learning_rate=(width * warmup) ** -0.5)
    for step, rate in enumerate(rates(config, Plan(steps=200, decay_from=0)), start=1):
        assert math.isclose(rate, width**-0.5 * min(step**-0.5, step * warmup**-1.5))


def test_cosine_falls_from_the_peak_to_its_floor() -> None:
    found = rates(
        TrainConfig(schedule="cosine", warmup=10, learning_rate=1.0), Plan(steps=110, decay_from=10)
    )
    assert found[9] == 1.0
    assert math.isclose(found[60], (1 + COSINE_FLOOR) / 2)
    assert COSINE_FLOOR < found[-1] < COSINE_FLOOR + 0.01
    assert found[10:] == sorted(found[10:], reverse=True)


def test_a_plan_survives_the_disk(tmp_path: Path) -> None:
    assert Plan.load(tmp_path / "plan.json") == Plan()
    plan = Plan(validate_every=7, decay_from=30, steps=90)
    plan.save(tmp_path / "plan.json")
    assert Plan.load(tmp_path / "plan.json") == plan


def pace(**fields: object) -> Pace:
    config = TrainConfig.model_validate(fields)
    return Pace(config, BatchPlan([[4, 4]] * 40, tokens=16, seed=1), began=0.0, scored=1.0)


def test_epochs_are_passes_over_the_data() -> None:
    first, second = (pace(epochs=1.0).batches.steps_per_epoch(epoch) for epoch in (0, 1))
    for epochs, steps in ((1.0, first), (2.0, first + second), (1.5, first + round(0.5 * second)), (0.01, 1)):
        assert pace(epochs=epochs).decide(Plan(), step=0).steps == steps


def test_minutes_become_steps_when_it_is_time_to_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = pace(minutes=1.0, decay=0.5, validations=6)
    clock.seconds_per_step = 0.1
    now = 2.0
    monkeypatch.setattr("weft.training.pace.time.monotonic", lambda: now)
    plan = clock.decide(Plan(), step=CALIBRATION - 1)
    assert plan == Plan()
    plan = clock.decide(plan, step=CALIBRATION)
    assert plan.validate_every == (CALIBRATION + 580) // 6
    assert plan.steps is None
    assert clock.decide(plan, step=200) == plan
    now, clock.seconds_per_validation = 30.0, 2.0
    plan = clock.decide(plan, step=280)
    assert plan.decay_from == 280
    assert plan.steps is not None
    left = (plan.steps - 280) * 0.1 + 4 * 2.0 + (plan.steps - 280) / 98 * 2.0
    assert 29.0 < left <= 30.0
    assert clock.decide(plan, step=281) == plan


def test_a_run_that_would_be_late_is_made_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = pace(minutes=1.0)
    clock.seconds_per_step = 0.1
    now = 30.0
    monkeypatch.setattr("weft.training.pace.time.monotonic", lambda: now)
    plan = Plan(validate_every=100, decay_from=200, steps=600)
    assert clock.decide(plan, step=300) == plan
    clock.seconds_per_step = 0.2
    now = 31.0
    assert clock.decide(plan, step=301) == plan, "not at every step"
    now = 31.3
    assert clock.decide(plan, step=302) == plan._replace(steps=302 + 143)
    now, clock.seconds_per_step = 33.0, 0.0925  # 0.6 seconds late
    assert clock.decide(plan, step=302) == plan
    now, clock.seconds_per_step = 35.0, 0.05
    assert clock.decide(plan, step=300) == plan._replace(steps=800), "and longer where there is time"


@pytest.mark.parametrize("seconds", [0.3, 0.7, 5.0, 37.0, 90.0])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_minutes_end_however_long_a_step_takes(
    monkeypatch: pytest.MonkeyPatch, seconds: float, schedule: str
) -> None:
    it, now, plan, step = pace(minutes=0.5, schedule=schedule), 3.0, Plan(), 0
    monkeypatch.setattr("weft.training.pace.time.monotonic", lambda: now)
    while True:
        plan = it.decide(plan, step=step)
        if plan.steps is not None and step >= plan.steps:
            break
        now += seconds
        it.time_step(step, seconds)
        step += 1
        assert step < 1000
    assert step >= 1
    assert now <= 30 + 2 * seconds


def test_a_run_of_so_many_steps_stays_one() -> None:
    plan = Plan(validate_every=100, decay_from=200, steps=600)
    clock = pace(steps=600)
    clock.seconds_per_step = 100.0
    assert clock.decide(plan, step=300) == plan


def test_an_average_is_the_mean() -> None:
    model = torch.nn.Linear(3, 2)
    average, seen = Average(), []
    for _ in range(5):
        torch.nn.init.normal_(model.weight)
        seen.append(model.weight.detach().clone())
        average.add(model)
    average.put_into(model)
    torch.testing.assert_close(model.weight, torch.nn.Parameter(torch.stack(seen).mean(0)))
