"""What a run tells whoever watches it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

__all__ = ["Reporter", "Result", "Silent"]


class Result(NamedTuple):
    """How a run ended: `kept` says which weights are the model's, by what they are worth on the held-out examples."""

    steps: int
    loss: float | None
    scores: dict[str, float]
    kept: str
    seconds: float
    tokens: int
    padding: float


class Reporter(Protocol):
    """Somebody who watches. `total` and `seconds_left` are estimates until the run has decided."""

    def start(self, run: Mapping[str, Any]) -> None: ...
    def step(
        self,
        step: int,
        total: int,
        loss: float,
        tokens_per_second: float,
        learning_rate: float,
        seconds_left: float,
    ) -> None: ...
    def validation(self, step: int, loss: float, scores: Mapping[str, float], best: bool) -> None: ...
    def message(self, text: str) -> None: ...
    def finish(self, result: Result) -> None: ...


class Silent:
    """Nobody."""

    def start(self, run: Mapping[str, Any]) -> None:
        return

    def step(
        self,
        step: int,
        total: int,
        loss: float,
        tokens_per_second: float,
        learning_rate: float,
        seconds_left: float,
    ) -> None:
        return

    def validation(self, step: int, loss: float, scores: Mapping[str, float], best: bool) -> None:
        return

    def message(self, text: str) -> None:
        return

    def finish(self, result: Result) -> None:
        return
