"""`weft train TASK` begins a run; `weft train --resume RUN` goes on with one."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import App, Group, Parameter

from weft.cli.options import Device, Json
from weft.cli.output import duration, print_facts, say
from weft.cli.progress import Watcher, watcher
from weft.errors import Terminated

if TYPE_CHECKING:
    from weft.training.report import Result

__all__ = ["app"]

DATA = Group("Data", sort_key=1)
RUN = Group("The run, and its length: one of --minutes, --steps, --epochs", sort_key=2)
RECIPE = Group("Model and recipe", sort_key=3)
OTHER = Group("Other", sort_key=4)

app = App(name="train", help="Train a model on your own text, or go on with a run.")


@app.default
def resume(*, resume: Path | None = None, device: Device = None, as_json: Json = False) -> None:
    """Train a model: `weft train TASK --help` tells how, for each task. Go on with a run: `weft train --resume RUN`.

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
        then=lambda run: f"Next: weft info {run}",
    )


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a run of any task is asked for.

    Parameters
    ----------
    train
        Text to learn from. May be given more than once.
    valid
        Held-out text in the same forms, to choose the best weights by.
    columns
        Names for the columns of a table without a header, in their order.
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

    train: Annotated[list[str] | None, Parameter(group=DATA)] = None
    valid: Annotated[list[str] | None, Parameter(group=DATA)] = None
    columns: Annotated[str | None, Parameter(group=DATA)] = None
    out: Annotated[Path, Parameter(group=RUN)]
    minutes: Annotated[float | None, Parameter(group=RUN)] = None
    steps: Annotated[int | None, Parameter(group=RUN)] = None
    epochs: Annotated[float | None, Parameter(group=RUN)] = None
    preset: Annotated[str | None, Parameter(group=RECIPE)] = None
    config: Annotated[Path | None, Parameter(group=RECIPE)] = None
    override: Annotated[list[str] | None, Parameter(name="--set", group=RECIPE)] = None
    seed: Annotated[int | None, Parameter(group=RECIPE)] = None
    device: Annotated[Device, Parameter(group=OTHER)] = None
    as_json: Annotated[Json, Parameter(group=OTHER)] = False

    def begin(self, task: str, *, then: Callable[[Path], str], **options: object) -> None:
        """Train, show it, and say what comes `then`; `options` are the task's own, of which None is not said."""
        from weft.api import train

        given = {field.name: getattr(self, field.name) for field in fields(self)}
        as_json, overrides = given.pop("as_json"), given.pop("override")
        given |= {name: value for name, value in options.items() if value is not None}
        watch(
            lambda report: train(task, **given, overrides=overrides or (), report=report),
            out=self.out,
            as_json=as_json,
            then=then,
        )


Start = Annotated[
    Path | None,
    Parameter(
        name="--from-checkpoint",
        group=RECIPE,
        help="The folder of an encoder, or of a decoder, to begin with, weft's or Hugging Face's, in place of a preset.",
    ),
]


@app.command
def translate(
    *,
    asked: Asked,
    from_language: Annotated[str | None, Parameter(name="--from", group=DATA)] = None,
    to_language: Annotated[str | None, Parameter(name="--to", group=DATA)] = None,
) -> None:
    """Train a translator on parallel text: line-aligned files as one quoted pattern, or a table.

    Example: weft train translate --train 'data/train.{de,en}.gz' --valid 'data/val.{de,en}' --from de --to en
    --out runs/de-en --minutes 12

    Parameters
    ----------
    from_language
        The source's language; without --from and --to the model learns all directions.
    to_language
        The language to translate into.
    """
    options = {"from_language": from_language, "to_language": to_language}
    asked.begin("translate", then=use_translator, **options)


@app.command
def summarize(
    *,
    asked: Asked,
    source: Annotated[str | None, Parameter(group=DATA)] = None,
    target: Annotated[list[str] | None, Parameter(group=DATA)] = None,
) -> None:
    """Train a summarizer on a table of long texts and their summaries: JSON Lines, CSV, TSV or Parquet.

    Example: weft train summarize --train train.jsonl --valid dev.jsonl --source dialogue --target summary --out runs/short
    --minutes 60

    Parameters
    ----------
    source
        The column of the texts: "text" unless it is said.
    target
        The column of the summaries: "summary" unless it is said. Given more than once, the first is learned and all are
        references; a cell may hold a list of them, too.
    """
    asked.begin("summarize", then=partial(use, "summarize"), source=source, target=target)


@app.command
def classify(
    *,
    asked: Asked,
    text_column: Annotated[str | None, Parameter(group=DATA)] = None,
    pair_column: Annotated[str | None, Parameter(group=DATA)] = None,
    label_column: Annotated[str | None, Parameter(group=DATA)] = None,
    label_until: Annotated[str | None, Parameter(group=DATA)] = None,
    label_names: Annotated[Path | None, Parameter(group=DATA)] = None,
    kind: Annotated[Literal["single", "multiple", "number"] | None, Parameter(group=DATA)] = None,
    from_checkpoint: Start = None,
) -> None:
    """Train a classifier on labelled texts: a table, lines that begin with their label, or a file for each label.

    Examples: weft train classify --train reviews.csv --text-column review --label-column stars --out runs/stars
    --minutes 5; weft train classify --train positive=pos.txt --train negative=neg.txt --out runs/mood --minutes 5

    Parameters
    ----------
    text_column
        The column of the text: "text" unless it is said.
    pair_column
        The column of a second text, to be classified together with the first.
    label_column
        The column of the label: "label" unless it is said.
    label_until
        For lines without columns: the label is a line's first word, up to this, as ':' in "NUM:date When ...".
    label_names
        A file with the names of labels that are numbers from 1, a line each.
    kind
        One label for each text, several with commas between, or a number.
    """
    asked.begin(
        "classify",
        then=partial(use, "classify"),
        text_column=text_column,
        pair_column=pair_column,
        label_column=label_column,
        label_until=label_until,
        label_names=None if label_names is None else str(label_names),
        kind=kind,
        from_checkpoint=from_checkpoint,
    )


@app.command
def tag(*, asked: Asked, from_checkpoint: Start = None) -> None:
    """Train a tagger of named entities: on CoNLL columns, or JSON Lines of texts with character spans.

    Example: weft train tag --train train.conll --valid dev.conll --out runs/names --minutes 5
    """
    asked.begin("tag", then=partial(use, "tag"), from_checkpoint=from_checkpoint)


@app.command
def answer(*, asked: Asked, from_checkpoint: Start = None) -> None:
    """Train a model to find the answers to questions in a text: on JSON in the shape of SQuAD 1.1 or 2.0.

    Example: weft train answer --train train.json --valid dev.json --out runs/answers --from-checkpoint DIR --minutes 20
    """
    asked.begin(
        "answer",
        then=lambda run: f'Next: weft answer {run} --question "..." --context-file page.txt',
        from_checkpoint=from_checkpoint,
    )


@app.command(name="masked-lm")
def masked_lm(*, asked: Asked, from_checkpoint: Start = None) -> None:
    """Pretrain an encoder on plain text: it learns to say what hidden words were.

    Example: weft train masked-lm --train 'corpus/*.txt' --out runs/encoder --preset small --minutes 20
    """
    asked.begin(
        "masked-lm",
        then=lambda run: f'Next: weft fill {run} "... [MASK] ...", or --from-checkpoint {run}',
        from_checkpoint=from_checkpoint,
    )


@app.command(name="language-model")
def language_model(
    *,
    asked: Asked,
    tokenizer: Annotated[Literal["bpe", "words", "characters"] | None, Parameter(group=RECIPE)] = None,
    text_column: Annotated[str | None, Parameter(group=DATA)] = None,
    prompt_column: Annotated[str | None, Parameter(group=DATA)] = None,
    completion_column: Annotated[str | None, Parameter(group=DATA)] = None,
    from_checkpoint: Start = None,
) -> None:
    """Train a language model on plain text: it learns to go on with one.

    Example: weft train language-model --train 'books/*.txt' --out runs/books --minutes 10

    Parameters
    ----------
    tokenizer
        What the pieces are: byte-level BPE unless it is said, words, or characters.
    text_column
        The column of a table's text: "text" unless it is said.
    prompt_column
        The column of a table's prompts, which are read only.
    completion_column
        The column of what is to follow each prompt, which alone is learned.
    """
    asked.begin(
        "language-model",
        then=lambda run: f'Next: weft generate {run} --prompt "..." --temperature 0.8',
        tokenizer=tokenizer,
        text_column=text_column,
        prompt_column=prompt_column,
        completion_column=completion_column,
        from_checkpoint=from_checkpoint,
    )


def use(command: str, run: Path) -> str:
    """What to do with a trained model."""
    return f'Next: weft {command} {run} "..."'


def use_translator(run: Path) -> str:
    """What to do with a trained translator; one that knows several directions is to be told which."""
    from weft.config import TranslatorConfig
    from weft.description import read_config

    config = read_config(run)
    assert isinstance(config, TranslatorConfig)
    source, target = config.directions[0]
    return use("translate", run) + (f" --from {source} --to {target}" if len(config.directions) > 1 else "")


def watch(
    run: Callable[[Watcher], "Result"], *, out: Path, as_json: bool, then: Callable[[Path], str] | None = None
) -> None:
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
            if then is not None:
                say(then(out))


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
