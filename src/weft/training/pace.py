"""How fast a run goes, and what it decides from that about its own length."""

import time
from typing import Any

from weft.config import TrainConfig
from weft.data.batches import Batches
from weft.training.schedule import Plan

__all__ = ["Pace"]

CALIBRATION = 12  # steps that are timed before a run given minutes guesses its length
FORGETTING = 0.02  # batches differ, and the first steps are slow
LATE = 0.02  # of its minutes, that a run may be late or early; as often as this it looks whether it is
LAST_VALIDATIONS = 4  # the loss of the weights that a run may keep, and then of those that it keeps


class Pace:
    """The clock of a run. It says how long the run is to be, and touches nothing else.

    `scored` is how many times as many examples are scored at the run's end as at each validation on the way.
    """

    def __init__(self, config: TrainConfig, batches: Batches, *, began: float, scored: float) -> None:
        self.config = config
        self.batches = batches
        self.began = began  # the command, by time.monotonic()
        self.before = 0.0  # seconds spent before the run was resumed
        self.seconds_per_step = 0.0
        self.seconds_per_validation = 0.0
        self.last_validations = max(LAST_VALIDATIONS, scored)  # as long as so many others
        self.looked = 0.0  # when it was last seen whether the run is on time

    @property
    def elapsed(self) -> float:
        """Seconds since the command began, those before a resumption included."""
        return self.before + time.monotonic() - self.began

    @property
    def left(self) -> float:
        """Seconds until the minutes are over."""
        return (self.config.minutes or 0.0) * 60 - self.elapsed

    def time_step(self, step: int, seconds: float) -> None:
        """Take a step's duration into the running mean."""
        self.seconds_per_step += (seconds - self.seconds_per_step) * max(FORGETTING, 1 / (1 + step))

    def decide(self, plan: Plan, *, step: int) -> Plan:
        """The plan with whatever can be, and has to be, decided before this step."""
        if plan.steps is not None:
            return self._revise(plan, step=step)
        config = self.config
        if config.minutes is None:
            return self._plan_of(config.steps or self._steps_of(config.epochs or 1.0))
        if plan.validate_every is None:
            if step < CALIBRATION and self.left > 0:
                return plan
            guess = step + int(max(0.0, self.left) / (self.seconds_per_step or 1.0))
            if config.schedule != "linear":
                return self._plan_of(max(1, guess))
            plan = plan._replace(validate_every=max(1, guess // config.validations))
        assert plan.validate_every is not None
        if self.elapsed < config.minutes * 60 * (1 - config.decay):
            return plan
        return plan._replace(decay_from=step, steps=max(1, step + self._steps_left(plan.validate_every)))

    def _revise(self, plan: Plan, *, step: int) -> Plan:
        """Another length where the machine has become slower or faster since the plan was made."""
        if self.config.minutes is None or plan.steps is None or plan.validate_every is None:
            return plan
        tolerance = LATE * self.config.minutes * 60
        if self.elapsed - self.looked < tolerance:
            return plan
        self.looked = self.elapsed
        left = self._steps_left(plan.validate_every)
        wrong = abs(plan.steps - step - left) * self.seconds_per_step
        return plan if wrong < tolerance else plan._replace(steps=step + left)

    def _steps_left(self, validate_every: int) -> int:
        """The steps that fit into the time that is left; none where it is over."""
        per_step = self.seconds_per_step + self.seconds_per_validation / validate_every
        seconds = self.left - self.last_validations * self.seconds_per_validation
        return max(0, int(seconds / per_step)) if per_step else 1

    def expect(self, plan: Plan, *, step: int) -> tuple[int, float]:
        """The steps there will be and the seconds that are left, as far as one can tell."""
        if plan.steps is not None:
            return plan.steps, (plan.steps - step) * self.seconds_per_step
        left = max(0.0, self.left)
        return step + int(left / self.seconds_per_step), left

    def _plan_of(self, steps: int) -> Plan:
        fall = (
            self.config.warmup if self.config.schedule == "cosine" else round(steps * (1 - self.config.decay))
        )
        return Plan(
            validate_every=max(1, steps // self.config.validations), decay_from=min(fall, steps), steps=steps
        )

    def _steps_of(self, epochs: float) -> int:
        whole = sum(self.batches.steps_per_epoch(epoch) for epoch in range(int(epochs)))
        part = epochs - int(epochs)
        return max(1, whole + (round(part * self.batches.steps_per_epoch(int(epochs))) if part else 0))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "elapsed": self.elapsed,
            "seconds_per_step": self.seconds_per_step,
            "seconds_per_validation": self.seconds_per_validation,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; the time it took to get here again is not the run's."""
        self.began = time.monotonic()
        self.before = state["elapsed"]
        self.seconds_per_step = state["seconds_per_step"]
        self.seconds_per_validation = state["seconds_per_validation"]
