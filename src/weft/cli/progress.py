"""How a training run is shown: a live bar on a terminal, plain lines in a log, JSON lines for programs."""

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from weft.cli.output import duration, label, print_facts, print_json, say, screen
from weft.training.report import Reporter

__all__ = ["JsonReporter", "PlainReporter", "RichReporter", "Watcher", "watcher"]


class Watcher(Reporter, Protocol):
    """What training tells, and a context that puts the terminal back in order however training ends."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def watcher(*, as_json: bool) -> Watcher:
    """The one that suits standard output."""
    if as_json:
        return JsonReporter()
    console = screen()
    return PlainReporter() if console is None else RichReporter(console)


class Quiet:
    """A context that has nothing to put in order."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


class JsonReporter(Quiet):
    """Each event as a JSON object on a line, its kind under "event"."""

    def start(self, run: Mapping[str, Any]) -> None:
        print_json({"event": "start", **run})

    def step(
        self,
        step: int,
        total: int,
        loss: float,
        tokens_per_second: float,
        learning_rate: float,
        seconds_left: float,
    ) -> None:
        print_json(
            {
                "event": "step",
                "step": step,
                "total": total,
                "loss": loss,
                "tokens_per_second": tokens_per_second,
                "learning_rate": learning_rate,
                "seconds_left": seconds_left,
            }
        )

    def validation(self, step: int, loss: float, scores: Mapping[str, float], best: bool) -> None:
        print_json({"event": "validation", "step": step, "loss": loss, "scores": scores, "best": best})

    def message(self, text: str) -> None:
        print_json({"event": "message", "text": text})

    def finish(self, result: Any) -> None:
        print_json({"event": "finish", "result": result})


class PlainReporter(Quiet):
    """Lines for a log: the first and the last step, and between them one for every `interval` seconds."""

    def __init__(self, *, interval: float = 10.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval = interval
        self.clock = clock
        self.told = -interval

    def start(self, run: Mapping[str, Any]) -> None:
        print_facts(run)

    def step(
        self,
        step: int,
        total: int,
        loss: float,
        tokens_per_second: float,
        learning_rate: float,
        seconds_left: float,
    ) -> None:
        now = self.clock()
        if step < total and now - self.told < self.interval:
            return
        self.told = now
        say(
            f"step {step:,} of {total:,}: loss {loss:.3f}, learning rate {learning_rate:.3g}, "
            f"{tokens_per_second:,.0f} tokens/s, {duration(seconds_left)} left"
        )

    def validation(self, step: int, loss: float, scores: Mapping[str, float], best: bool) -> None:
        say(validation_line(step, loss=loss, scores=scores, best=best))

    def message(self, text: str) -> None:
        say(text)

    def finish(self, result: Any) -> None:
        """Say nothing: the command tells the result."""


class RichReporter:
    """A bar that moves, with what was measured and said above it."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  {task.fields[speed]} tokens/s  rate {task.fields[rate]}"),
            TextColumn("{task.fields[left]} left"),
            console=console,
            expand=True,
        )
        self.bar: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def start(self, run: Mapping[str, Any]) -> None:
        print_facts(run)

    def step(
        self,
        step: int,
        total: int,
        loss: float,
        tokens_per_second: float,
        learning_rate: float,
        seconds_left: float,
    ) -> None:
        fields: dict[str, Any] = {
            "loss": f"{loss:.3f}",
            "speed": f"{tokens_per_second:,.0f}",
            "rate": f"{learning_rate:.2g}",
            "left": duration(seconds_left),
        }
        if self.bar is None:
            self.bar = self.progress.add_task("", completed=step, total=total, **fields)
            self.progress.start()
        else:
            self.progress.update(self.bar, completed=step, total=total, **fields)

    def validation(self, step: int, loss: float, scores: Mapping[str, float], best: bool) -> None:
        self.message(validation_line(step, loss=loss, scores=scores, best=best))

    def message(self, text: str) -> None:
        self.progress.console.print(text, soft_wrap=True)

    def finish(self, result: Any) -> None:
        self.progress.stop()


def validation_line(step: int, *, loss: float, scores: Mapping[str, float], best: bool) -> str:
    """What a validation showed.

    >>> validation_line(500, loss=2.31, scores={"bleu": 31.26}, best=True)
    'step 500: validation loss 2.310, BLEU 31.26, the best so far'
    """
    measured = "".join(f", {label(name)} {value:.2f}" for name, value in scores.items())
    return f"step {step:,}: validation loss {loss:.3f}{measured}{', the best so far' if best else ''}"
