"""`weft train TASK` begins a run; `weft train --resume RUN` goes on with one."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Group, Parameter

from weft.cli.options import Device, Json
from weft.cli.output import duration, print_facts, say
from weft.cli.progress import Watcher, watcher
from weft.errors import Terminated

if TYPE_CHECKING:
    from weft.training.loop import Result

__all__ = ["app"]

DATA = Group("Data", sort_key=1)
RUN = Group("The run, and its length: one of --minutes, --steps, --epochs", sort_key=2)
RECIPE = Group("Model and recipe", sort_key=3)
OTHER = Group("Other", sort_key=4)

app = App(name="train", help="Train a model on your own text, or go on with a run.")


@app.default
def resume(*, resume: Path | None = None, device: Device = None, as_json: Json = False) -> None:
    """Train a model: `weft train translate --help` tells how. Go on with a run: `weft train --resume RUN`.

    Parameters
    ----------
    resume
        The folder of a run that was stopped: it goes on from its last checkpoint, bit for bit.
    """
    if resume is None:
        from weft.cli import app as root

        root.help_print(["train"])
        return
    from weft.api import resume as go_on

    watch(
        lambda report: go_on(resume, device=device, report=report),
        out=resume,
        as_json=as_json,
        then=use(resume),
    )


@app.command
def translate(
    *,
    train: Annotated[list[str] | None, Parameter(group=DATA)] = None,
    valid: Annotated[list[str] | None, Parameter(group=DATA)] = None,
    from_language: Annotated[str | None, Parameter(name="--from", group=DATA)] = None,
    to_language: Annotated[str | None, Parameter(name="--to", group=DATA)] = None,
    columns: Annotated[str | None, Parameter(group=DATA)] = None,
    out: Annotated[Path, Parameter(group=RUN)],
    minutes: Annotated[float | None, Parameter(group=RUN)] = None,
    steps: Annotated[int | None, Parameter(group=RUN)] = None,
    epochs: Annotated[float | None, Parameter(group=RUN)] = None,
    preset: Annotated[str | None, Parameter(group=RECIPE)] = None,
    config: Annotated[Path | None, Parameter(group=RECIPE)] = None,
    override: Annotated[list[str] | None, Parameter(name="--set", group=RECIPE)] = None,
    seed: Annotated[int | None, Parameter(group=RECIPE)] = None,
    device: Annotated[Device, Parameter(group=OTHER)] = None,
    as_json: Annotated[Json, Parameter(group=OTHER)] = False,
) -> None:
    """Train a translator on parallel text.

    Example: weft train translate --train 'data/train.{de,en}.gz' --valid 'data/val.{de,en}' --from de --to en
    --out runs/de-en --minutes 12

    Parameters
    ----------
    train
        Parallel text: line-aligned files as one quoted pattern, 'train.{de,en}.gz', or a table (.tsv, .csv,
        .jsonl, .parquet). May be given more than once.
    valid
        Held-out text in the same forms, to choose the best weights by.
    from_language
        The source's language; without --from and --to the model learns all directions.
    to_language
        The language to translate into.
    columns
        Names for the columns of a table without a header, as in en,de.
    out
        The folder for the run: a new one, or an empty one.
    minutes
        Wall-clock minutes from start to end, preparation and validation included.
    steps
        Optimizer steps.
    epochs
        Passes over the training text.
    preset
        A model size or a published recipe; without it, one that suits the size of the data.
    config
        A TOML file of settings.
    override
        One setting, as in model.width=384; goes before the file. May be given more than once.
    seed
        For the weights and the order of the data.
    """
    from weft.api import train as begin

    def run(report: Watcher) -> "Result":
        return begin(
            "translate",
            train=train,
            valid=valid,
            out=out,
            minutes=minutes,
            steps=steps,
            epochs=epochs,
            seed=seed,
            from_language=from_language,
            to_language=to_language,
            columns=columns.split(",") if columns else None,
            preset=preset,
            config=config,
            overrides=override or (),
            device=device,
            report=report,
        )

    watch(run, out=out, as_json=as_json, then=use(out))


def use(run: Path) -> str:
    """What to do with a trained model."""
    return f'Next: weft translate {run} "..."'


def watch(run: Callable[[Watcher], "Result"], *, out: Path, as_json: bool, then: str = "") -> None:
    """Run a training, show it, and say how it ended and what comes `then`; Ctrl-C and SIGTERM say how to go on."""
    with ExitStack() as stack:
        if (
            os.environ.get("RANK", "0") != "0"
        ):  # of several processes that torchrun started, the first one speaks
            nowhere = stack.enter_context(Path(os.devnull).open("w"))
            stack.enter_context(redirect_stdout(nowhere))
        try:
            with termination_raises(), watcher(as_json=as_json) as report:
                result = run(report)
        except KeyboardInterrupt as stop:
            raise type(stop)(f"go on with: weft train --resume {out}") from stop
        if not as_json:
            print_facts({"model": str(out), "curves": str(out / "curves.svg"), **outcome(result)})
            say(then)


@contextmanager
def termination_raises() -> Iterator[None]:
    """SIGTERM ends what runs within as Ctrl-C does, with an exception."""

    def end(number: int, frame: object) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # only that one may handle signals
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def outcome(result: "Result") -> dict[str, object]:
    """A run's end, for people."""
    return {
        "time": duration(result.seconds),
        "steps": result.steps,
        "validation_loss": result.loss,
        **result.scores,
        "weights": result.kept,
        "padding": f"{result.padding:.1%}",
    }
