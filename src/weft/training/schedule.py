"""The learning rate over a run, and the decisions that a run takes about its own length."""

import json
import math
import os
from pathlib import Path
from typing import NamedTuple

from weft.config import TrainConfig

__all__ = ["Plan", "learning_rate"]

COSINE_FLOOR = 0.1


class Plan(NamedTuple):
    """What a run has decided about itself; None is not decided yet.

    A run that is given minutes finds out on its way how many steps these are. Each decision is on disk before it is
    acted upon, so that a run that is killed and resumed goes the same way.
    """

    validate_every: int | None = None
    decay_from: int | None = None
    steps: int | None = None

    def save(self, path: Path) -> None:
        """Write it in one step."""
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(self._asdict(), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """The plan on disk, or an empty one."""
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else cls()


def learning_rate(step: int, config: TrainConfig, plan: Plan) -> float:
    """The rate of a step, counted from 0.

    >>> config = TrainConfig(learning_rate=1.0, warmup=2, decay=0.5)
    >>> [round(learning_rate(step, config, Plan(steps=6, decay_from=3)), 3) for step in range(6)]
    [0.5, 1.0, 1.0, 1.0, 0.667, 0.333]
    """
    warmup = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
    return config.learning_rate * warmup * _after_warmup(step, config, plan)


def _after_warmup(step: int, config: TrainConfig, plan: Plan) -> float:
    if config.schedule == "inverse_sqrt":
        return min(1.0, math.sqrt(max(config.warmup, 1) / (step + 1)))
    if plan.steps is None or plan.decay_from is None or step < plan.decay_from:
        return 1.0
    done = (step - plan.decay_from) / max(1, plan.steps - plan.decay_from)
    if config.schedule == "linear":
        return 1.0 - done
    return COSINE_FLOOR + (1 - COSINE_FLOOR) * 0.5 * (1 + math.cos(math.pi * done))
