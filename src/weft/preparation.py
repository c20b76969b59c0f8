"""From what was asked for to what a run needs: settings resolved, tokenizer, store and configuration on disk."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from weft.config import ModelConfig, ReadingRun, RunConfig, SpecialTokens
from weft.data.sources import absolute
from weft.description import CONFIG, RUN
from weft.errors import UserError, suggest
from weft.nn.precision import matmul_flops, training_dtype
from weft.overrides import Settings, validate
from weft.recipes import EFFICIENCY, FINE_TUNING, Machine, Recipe, default_preset, resize
from weft.recipes import preset as named_preset
from weft.runs.folder import REQUEST, update_folder
from weft.saved import Saved
from weft.tasks.reading import load_start
from weft.tasks.registry import PROBLEMS
from weft.tasks.task import Problem, Task
from weft.text.tokenizer import Tokenizer
from weft.training.estimate import estimate_step
from weft.training.loop import Trainer
from weft.training.report import Reporter
from weft.training.schedule import Plan

__all__ = [
    "DATA",
    "check",
    "find_problem",
    "placed",
    "prepare",
    "prospect",
    "read_run",
    "refuse_large",
]

DATA = "data"
UNKNOWN = 2**31  # pieces, as long as there is no tokenizer

PARAMETERS_PER_TOKEN = 10  # of the training text, above which a model has more room than there is to learn


def refuse_large(task: Task, *, tokens: int) -> None:
    """Raise a UserError that names the longest training example where it does not fit into a batch."""
    longest = task.lengths.max(axis=1)
    row = int(longest.argmax())
    if longest[row] > tokens:
        raise UserError(
            f"{task.place(row)}: {longest[row]} tokens, more than the {tokens} of a batch: set train.batch_tokens to "
            f"{longest[row]} or more, or {task.shorter}"
        )


def prospect(run: RunConfig, trainer: Trainer) -> dict[str, Any]:
    """What can be said before the first step; the time by what such a machine keeps up in a whole training step."""
    task = trainer.task
    tokens = int(task.lengths.sum())
    counts = {name: parameter.numel() for name, parameter in trainer.model.named_parameters()}
    parameters = sum(counts.values())
    met = sum(count for name, count in counts.items() if "ngrams" not in name)
    steps = trainer.batches.steps_per_epoch(0)
    source, target = _work(task, run.model.kin)
    step = estimate_step(
        trainer.model,
        run.model,
        source=source / steps,
        target=target / steps,
        length=float(task.lengths.mean()),
    )
    if met > PARAMETERS_PER_TOKEN * tokens:  # a token meets but a few rows of n-grams
        trainer.reporter.message(
            f"{tokens:,} tokens are few for {met:,} parameters: expect the text to be learned by heart; more "
            "text would help, or a smaller model"
        )
    layers = "+".join(str(count) for count in (run.model.encoder_layers, run.model.decoder_layers) if count)
    facts = {
        **task.facts,
        "vocabulary": run.model.vocabulary,
        "parameters": parameters,
        "shape": f"{layers} layers of {run.model.width}",
        "step": f"{step.flops / 1e9:,.1f} GFLOP, {step.memory / 2**20:,.0f} MiB",
    }
    planned = trainer.pace.decide(Plan(), step=0).steps
    if planned is not None:
        per_second = EFFICIENCY * matmul_flops(trainer.device.type)
        facts["expected"] = (
            f"{planned:,} steps in about {planned * step.flops / per_second / 60:,.1f} minutes"
        )
    return facts


def prepare(folder: Path, *, reporter: Reporter, device: torch.device) -> None:
    """Everything that comes before the first step: tokenizer, store, and the resolved configuration, on disk."""
    request = json.loads((folder / REQUEST).read_text("utf-8"))
    settings = Settings(request["settings"])
    provisional = _resolve(settings, request["preset"], tokenizer=None)
    problem = PROBLEMS[provisional.task](provisional)
    path = provisional.tokenizer.path
    if isinstance(provisional, ReadingRun):
        path = path or provisional.from_checkpoint
    reporter.message(f"tokenizer: {path}" if path else f"training a tokenizer on {problem.about}")
    lengths = (provisional.train.minutes, provisional.train.steps, provisional.train.epochs)
    if lengths == (None, None, None):
        reporter.message("no length is given: one pass over the training text")
    tokenizer = problem.make_tokenizer()
    task = problem.make_task(folder / DATA, tokenizer=tokenizer, begun=False, tell=reporter.message)
    preset = request["preset"]
    if not preset and "from_checkpoint" not in settings:
        preset = _choose(task, tokenizer, run=provisional, device=device)
        reporter.message(f"preset: {preset}")
    run = _resolve(settings, preset, tokenizer=tokenizer)
    precision = str(training_dtype(run.train.precision, device.type)).removeprefix("torch.")
    run = run.model_copy(update={"train": run.train.model_copy(update={"precision": precision})})
    tokenizer.save(folder)
    saved = {path.name: path.read_bytes() for path in folder.glob("tokenizer*.json")}
    config = problem.describe(run.model).model_dump_json(indent=2)
    files = {CONFIG: config.encode(), RUN: run.model_dump_json(indent=2).encode()}
    update_folder(folder, kind=run.task, files={**saved, **files})


def _work(task: Task, kin: str) -> tuple[int, int]:
    """The tokens of all training examples that go through the encoder's layers, and through the decoder's."""
    sides = [int(side) for side in task.lengths.sum(axis=0)]
    return (0, sides[0]) if kin == "decoder" else (sides[0], sum(sides[1:]))


def _choose(task: Task, tokenizer: Tokenizer, *, run: RunConfig, device: torch.device) -> str:
    source, target = _work(task, run.model.kin)
    return default_preset(
        run.model.kin,
        source_tokens=source,
        target_tokens=target,
        vocabulary=tokenizer.vocab_size,
        minutes=run.train.minutes,
        machine=Machine(flops=matmul_flops(device.type)),
    )


def read_run(folder: Path) -> RunConfig:
    """The resolved configuration of a run."""
    run = json.loads((folder / RUN).read_text("utf-8"))
    return PROBLEMS[run["task"]].config.model_validate_json(json.dumps(run))


def _resolve(settings: Settings, preset: str | None, *, tokenizer: Tokenizer | None) -> RunConfig:
    """The recipe with the settings laid over it, checked; the tokenizer, once it is known, gives its size and its ids.

    These may be set, as the configuration of a run has them, but to nothing else.
    """
    problem = PROBLEMS[settings["task"]]
    recipe, start = _recipe(settings, preset, architecture=problem.architecture)
    resolved = Settings({table: dict(fields) for table, fields in recipe.items()}, path=settings.path)
    special = SpecialTokens()
    if start is not None:
        special = start.config.model.special
    else:
        resolved["model"] = resize(recipe["model"], settings.get("model", {}))
        resolved["model"]["vocabulary"] = size = tokenizer.vocab_size if tokenizer is not None else UNKNOWN
        if adaptive := resolved["model"].get("adaptive"):  # a preset's clusters are of a large vocabulary
            cutoffs = [cutoff for cutoff in adaptive["cutoffs"] if cutoff < size]
            resolved["model"]["adaptive"] = {**adaptive, "cutoffs": cutoffs}
    vocabulary = resolved["model"]["vocabulary"]
    resolved.overridden, resolved.given = settings.overridden, settings.given
    for table, fields in settings.items():
        if isinstance(fields, Mapping):
            resolved[table] = _laid_over(resolved.get(table, {}), fields)
        else:
            resolved[table] = fields
    resolved["preset"] = preset
    run = validate(problem.config, resolved)
    if tokenizer is not None and run.model.vocabulary != vocabulary:
        raise UserError(
            f"model.vocabulary is the tokenizer's, which is {vocabulary}: leave it out, and set tokenizer.size"
        )
    if run.model.special.model_copy(update={"mask": special.mask}) != special:
        raise UserError(
            f"{settings.origin(('model', 'special'))}model.special is the tokenizer's: leave it out"
        )
    if start is not None:
        _refuse_other_shape(run.model, start.config.model)
    special = special if tokenizer is None else special.model_copy(update={"mask": tokenizer.mask_id})
    return run.model_copy(update={"model": run.model.model_copy(update={"special": special})})


def _laid_over(recipe: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's table with what is set in place of what it says, tables within it included.

    >>> _laid_over({"ngrams": {"dropout": 0.5}, "width": 128}, {"ngrams": {"longest": 3}})
    {'ngrams': {'dropout': 0.5, 'longest': 3}, 'width': 128}
    """
    laid = dict(recipe)
    for name, value in fields.items():
        before = laid.get(name)
        tables = isinstance(value, Mapping) and isinstance(before, Mapping)
        laid[name] = {**dict(before or {}), **value} if tables else value
    return laid


def _refuse_other_shape(model: ModelConfig, start: ModelConfig) -> None:
    """Raise a UserError where a run's model is set to be of another shape than the one that it begins with."""
    free = ("dropout", "attention_dropout", "activation_dropout", "special")
    ours, theirs = (each.model_dump(exclude=set(free)) for each in (model, start))
    for shape in (ours, theirs):
        if shape["ngrams"] is not None:
            del shape["ngrams"]["dropout"]
    for name, value in theirs.items():
        if ours[name] != value:
            raise UserError(f"model.{name} is the checkpoint's, which is {json.dumps(value)}: leave it out")


def _recipe(settings: Settings, preset: str | None, *, architecture: str) -> tuple[Recipe, Saved | None]:
    """A preset's recipe; or, for a run that begins with a model's folder, that model's shape and how it is fine-tuned."""
    path = settings.get("from_checkpoint")
    if path is None or architecture == "seq2seq":
        return named_preset(preset or "tiny", architecture=architecture, task=settings["task"]), None
    if preset:
        raise UserError(
            "a preset and a checkpoint to begin with: leave the preset out, the checkpoint has its shape"
        )
    if given := sorted(settings.get("tokenizer", {})):
        raise UserError(
            f"tokenizer.{given[0]}: a run that begins with a checkpoint has its tokenizer: leave it out"
        )
    start = load_start(str(path), architecture=architecture)
    train = dict(FINE_TUNING)
    if any(settings.get("train", {}).get(length) for length in ("minutes", "steps")):
        del train["epochs"]
    return {"model": start.config.model.model_dump(), "train": train}, start


def find_problem(task: str) -> type[Problem]:
    """What there is for a task of this name; a UserError names those there are."""
    if task not in PROBLEMS:
        raise UserError(f'no task "{task}"{suggest(str(task), PROBLEMS)} (there are: {", ".join(PROBLEMS)})')
    return PROBLEMS[task]


def check(settings: Settings, preset: str | None) -> None:
    """Find what is wrong with settings before anything is read or written."""
    _resolve(settings, preset, tokenizer=None)


def placed(settings: Settings) -> Settings:
    """Checked settings whose files are found from any folder, so that a run can go on from another one."""
    data, path = settings["data"], settings.get("tokenizer", {}).get("path")
    places: dict[str, Any] = {
        f"data.{name}": [absolute(str(spec)) for spec in data.get(name, ())] for name in ("train", "valid")
    }
    if path is not None:
        places["tokenizer.path"] = absolute(str(path))
    if (start := settings.get("from_checkpoint")) is not None:
        places["from_checkpoint"] = absolute(str(start))
    if isinstance(names := settings.get("classify", {}).get("label_names"), str):
        places["classify.label_names"] = absolute(names)
    return settings.over(places)
