"""All that the command line does, from Python: train, resume, load, import and export."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias

import torch
from tokenizers import Tokenizer as Backend

from weft.config import RunConfig, SpecialTokens
from weft.data.sources import absolute
from weft.errors import UserError, suggest
from weft.families import export_folder, import_folder
from weft.families.marian_tokenizer import MarianTokenizer
from weft.families.tokenizer_files import SENTENCEPIECE_FILES
from weft.models.seq2seq import Seq2Seq
from weft.nn.inference import Precision, choose_precision, convert
from weft.nn.precision import matmul_flops, training_dtype
from weft.overrides import Settings, load_settings, validate
from weft.recipes import EFFICIENCY, Machine, Recipe, default_preset, resize
from weft.recipes import preset as named_preset
from weft.runs.claim import claim, give_back
from weft.runs.folder import REQUEST, read_manifest, update_folder, verify, write_folder
from weft.runs.log import read_log
from weft.runs.manifest import MANIFEST
from weft.runs.tensors import MODEL, load_tensors, save_tensors
from weft.tasks.parallel import ParallelText, Tables
from weft.tasks.translate import Translate
from weft.text.tokenizer import Tokenizer
from weft.training.estimate import estimate_step
from weft.training.loop import Result, Trainer
from weft.training.metrics import METRICS
from weft.training.report import Reporter, Silent
from weft.training.schedule import Plan
from weft.training.world import World
from weft.translator import TASK, Evaluation, Translation, Translator, TranslatorConfig

__all__ = [
    "Evaluation",
    "Result",
    "Translation",
    "Translator",
    "export_model",
    "import_model",
    "info",
    "load",
    "resume",
    "train",
]

CONFIG = "config.json"  # what the model is
RUN = "run.json"  # what came of the request: the resolved configuration, which alone reproduces the run
DATA = "data"
TOKENIZER = "tokenizer.json"
TASKS = (TASK,)
DEVICES = ("cpu", "cuda", "mps")

PARAMETERS_PER_TOKEN = 10  # of the training text, above which a model has more room than there is to learn

Specs: TypeAlias = str | Path | Sequence[str | Path]


class Run(RunConfig):
    """A run's `run.json`: its whole configuration, and the preset that this was made from."""

    preset: str | None = None


def train(
    task: str = TASK,
    *,
    train: Specs | None = None,
    out: str | Path,
    valid: Specs | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    seed: int | None = None,
    from_language: str | None = None,
    to_language: str | None = None,
    columns: str | Sequence[str] | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    overrides: Mapping[str, Any] | str | Sequence[str] = (),
    device: str | None = None,
    report: Reporter | None = None,
) -> Result:
    """Train a model and leave it in the folder `out`.

    `train` and `valid` are patterns or files, and `columns` names or "en,de", as the command line takes them; the run's
    length is one of `minutes`, `steps` and `epochs`. Settings come from a preset (by default the one that suits the data
    and the time), then from the file `config`, then from `overrides`, then from the arguments here. A UserError before
    the first step leaves the folder as it was.
    """
    began = time.monotonic()
    if task not in TASKS:
        raise UserError(f'no task "{task}"{suggest(task, TASKS)} (there are: {", ".join(TASKS)})')
    given: dict[str, Any] = {
        "data.train": _listed(train),
        "data.valid": _listed(valid),
        "data.columns": _listed(columns.split(",") if isinstance(columns, str) else columns),
        "train.minutes": minutes,
        "train.steps": steps,
        "train.epochs": epochs,
        "train.seed": seed,
        "translate.from_language": from_language,
        "translate.to_language": to_language,
    }
    settings = load_settings(config, overrides)
    settings = settings.over({key: value for key, value in given.items() if value is not None})
    preset = preset or settings.pop("preset", None)
    _check(settings, preset)
    folder, world = Path(out), World()
    if not world.leads:
        return _run(folder, began=began, device=device, report=report, world=world)
    with claim(folder) as made:
        try:
            _write_json(folder, REQUEST, {"preset": preset, "settings": _placed(settings)})
            return _run(folder, began=began, device=device, report=report, world=world)
        except UserError:
            if not (folder / METRICS).exists():  # no step was made
                give_back(folder, made=made)
            raise


def resume(run: str | Path, *, device: str | None = None, report: Reporter | None = None) -> Result:
    """Go on with a run that was stopped, bit for bit as if it never had been; one that is finished stays as it is."""
    began = time.monotonic()
    folder, world = Path(run), World()
    if not world.leads:
        return _result(folder) or _run(folder, began=began, device=device, report=report, world=world)
    with claim(folder, resume=True):
        if not (folder / REQUEST).exists():
            raise UserError(f"{folder}: a model, but not a run: there is nothing to go on with")
        if (result := _result(folder)) is not None:
            if report is not None:
                report.message("the run is finished: nothing is left to do")
                report.finish(result)
            return result
        return _run(folder, began=began, device=device, report=report, world=world)


def load(
    path: str | Path, *, device: str | None = None, precision: Precision | Literal["auto"] = "auto"
) -> Translator:
    """The model in a folder, ready for use; every file is checked against its checksum.

    By default a model that is wide enough for it is used in int8 on an x86 processor, its linear layers rounded to eight
    bits, and any in bfloat16 on a GPU that is fast in it. In float32 its numbers are those that were trained or imported.
    """
    folder, where = Path(path), _device(device)
    verify(folder)
    config = _read_config(folder)
    chosen = choose_precision(precision, width=config.model.width, device=where)
    model = Seq2Seq(config.model)
    model.load_state_dict(load_tensors(folder, _shapes(model)))
    model = convert(model.to(where), chosen)
    return Translator(config, model=model, tokenizer=_load_tokenizer(folder, config), precision=chosen)


def import_model(folder: str | Path, *, out: str | Path) -> None:
    """Turn a Hugging Face folder into a weft model."""
    if (Path(folder) / MANIFEST).is_file():
        raise UserError(f"{folder}: a folder of weft's already: use it as it is")
    imported = import_folder(Path(folder))
    if not imported.tokenizer:
        raise UserError(
            f"{folder}: no tokenizer in it, neither tokenizer.json nor {', '.join(SENTENCEPIECE_FILES)}: "
            "put its files beside the model's"
        )
    source, target = imported.languages
    config = TranslatorConfig(
        family=imported.family,
        directions=((source or "source", target or "target"),),
        tags=False,
        model=imported.config,
        generation=imported.generation,
    )
    weights = {name: torch.from_numpy(array) for name, array in imported.weights.items()}
    files = dict(imported.tokenizer)
    if TOKENIZER in files:  # written again, with the vectors that are checked on loading
        with TemporaryDirectory() as aside:
            Tokenizer(Backend.from_str(files[TOKENIZER].decode())).save(Path(aside))
            files |= {path.name: path.read_bytes() for path in Path(aside).iterdir()}
    write_folder(
        Path(out),
        kind=TASK,
        files={
            CONFIG: config.model_dump_json(indent=2).encode(),
            MODEL: partial(save_tensors, tensors=weights),
            **files,
        },
    )


def export_model(run: str | Path, *, out: str | Path, to: str = "huggingface") -> None:
    """Turn a weft model into a folder of another layout; a model that it cannot express is refused."""
    folder = Path(run)
    manifest = verify(folder)
    config = _read_config(folder)
    model = Seq2Seq(config.model)
    weights = load_tensors(folder, _shapes(model))
    ours = {CONFIG, MODEL, REQUEST, RUN}
    tokenizer = {
        name: (folder / name).read_bytes()
        for name in manifest.files
        if name not in ours and not name.endswith(".safetensors")
    }
    export_folder(
        Path(out),
        layout=to,
        config=config.model,
        weights={name: tensor.numpy() for name, tensor in weights.items()},
        generation=config.generation,
        tokenizer=tokenizer,
        languages=config.directions[0] if len(config.directions) == 1 else (None, None),
    )


def info(path: str | Path) -> dict[str, Any]:
    """What a folder holds, without loading its weights."""
    folder = Path(path)
    manifest = read_manifest(folder)
    config = _read_config(folder)
    with torch.device("meta"):
        model = Seq2Seq(config.model)
    return {
        "folder": str(folder),
        "task": config.task,
        "directions": ", ".join("-".join(pair) for pair in config.directions),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "weft": manifest.weft,
        "model": config.model.model_dump(),
        "run": json.loads((folder / RUN).read_text("utf-8")) if (folder / RUN).exists() else None,
        "result": _result(folder),
    }


def _result(folder: Path) -> Result | None:
    """How a run ended; None where it has not, and where there was none."""
    path = folder / METRICS
    records = read_log(path) if path.exists() else []
    if not records or not records[-1].get("finished"):
        return None
    return Result(**{name: records[-1][name] for name in Result._fields})


def _run(folder: Path, *, began: float, device: str | None, report: Reporter | None, world: World) -> Result:
    """Prepare what is not prepared yet, and train."""
    reporter = report if report is not None and world.leads else Silent()
    where = _device(device)
    if where.type == "cuda":
        torch.cuda.set_device(where)  # where the processes' own messages go
    if world.leads and not (folder / RUN).exists():
        _prepare(folder, reporter=reporter, device=where)
    world.wait()
    run = Run.model_validate_json((folder / RUN).read_text("utf-8"))
    tokenizer = Tokenizer.load(folder)
    tables = ParallelText(run.data, run.translate).tables(
        folder / DATA,
        tokenizer=tokenizer,
        longest=run.model.max_length,
        begun=True,
        tell=reporter.message,
    )
    for line in tables.left_out:
        reporter.message(line)
    torch.manual_seed(run.train.seed)
    model = Seq2Seq(run.model).to(where)
    task = Translate(
        tables.train,
        tables.valid,
        tokenizer=tokenizer,
        special=run.model.special,
        smoothing=run.train.smoothing,
        masked=run.translate.masked,
    )
    _refuse_large(task, tokens=run.train.batch_tokens)
    trainer = Trainer(
        model,
        task,
        config=run.train,
        folder=folder,
        kind=TASK,
        reporter=reporter,
        world=world,
        began=began,
    )
    reporter.start({"out": str(folder), **_prospect(run, tables, trainer)})
    try:
        return trainer.run()
    finally:
        world.close()


def _refuse_large(task: Translate, *, tokens: int) -> None:
    """Raise a UserError that names the longest training example where it does not fit into a batch."""
    longest = task.lengths.max(axis=1)
    row = int(longest.argmax())
    if longest[row] > tokens:
        raise UserError(
            f"{task.place(row)}: {longest[row]} tokens, more than the {tokens} of a batch: set train.batch_tokens to "
            f"{longest[row]} or more, or data.max_tokens to leave such examples out"
        )


def _prospect(run: RunConfig, tables: Tables, trainer: Trainer) -> dict[str, Any]:
    """What can be said before the first step; the time by what such a machine keeps up in a whole training step."""
    pairs, tokens = tables.train.lengths.shape[0], tables.train.lengths.sum(axis=0)
    parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
    steps = trainer.batches.steps_per_epoch(0)
    step = estimate_step(
        trainer.model,
        run.model,
        source=float(tokens[0]) / steps,
        target=float(tokens[1]) / steps,
        length=float(tokens.mean()) / pairs,
    )
    if parameters > PARAMETERS_PER_TOKEN * tokens.sum():
        trainer.reporter.message(
            f"{tokens.sum():,} tokens are few for {parameters:,} parameters: expect the text to be learned by heart, "
            "and try a smaller preset, or more text"
        )
    facts = {
        "directions": ", ".join(map(str, tables.train.directions)),
        "pairs": pairs,
        "held out": _held_out(tables, trainer),
        "tokens": int(tokens.sum()),
        "vocabulary": run.model.vocabulary,
        "parameters": parameters,
        "shape": f"{run.model.encoder_layers}+{run.model.decoder_layers} layers of {run.model.width}",
        "step": f"{step.flops / 1e9:,.1f} GFLOP, {step.memory / 2**20:,.0f} MiB",
    }
    planned = trainer.pace.decide(Plan(), step=0).steps
    if planned is not None:
        per_second = EFFICIENCY * matmul_flops(trainer.device.type)
        facts["expected"] = (
            f"{planned:,} steps in about {planned * step.flops / per_second / 60:,.1f} minutes"
        )
    return facts


def _held_out(tables: Tables, trainer: Trainer) -> str:
    there = len(tables.valid.lengths) if tables.valid else 0
    used = trainer.task.held_out
    return f"{used:,} of {there:,} pairs, evenly spread" if used < there else f"{there:,} pairs"


def _prepare(folder: Path, *, reporter: Reporter, device: torch.device) -> None:
    """Everything that comes before the first step: tokenizer, store, and the resolved configuration, on disk."""
    request = json.loads((folder / REQUEST).read_text("utf-8"))
    settings = Settings(request["settings"])
    provisional = _resolve(settings, _recipe(request["preset"]), vocabulary=None)
    text = ParallelText(provisional.data, provisional.translate)
    path = provisional.tokenizer.path
    reporter.message(f"tokenizer: {path}" if path else f"training a tokenizer on {', '.join(text.languages)}")
    tokenizer = text.make_tokenizer(provisional.tokenizer)
    longest = provisional.model.max_length
    tables = text.tables(
        folder / DATA, tokenizer=tokenizer, longest=longest, begun=False, tell=reporter.message
    )
    preset = request["preset"] or _choose(tables, tokenizer, minutes=provisional.train.minutes, device=device)
    reporter.message(f"preset: {preset}")
    run = _resolve(settings.over({"preset": preset}), _recipe(preset), vocabulary=tokenizer.vocab_size)
    precision = str(training_dtype(run.train.precision, device.type)).removeprefix("torch.")
    run = run.model_copy(update={"train": run.train.model_copy(update={"precision": precision})})
    config = TranslatorConfig(
        directions=tuple((direction.source, direction.target) for direction in text.directions),
        tags=text.tagged,
        model=run.model,
    )
    tokenizer.save(folder)
    saved = {path.name: path.read_bytes() for path in folder.glob("tokenizer*.json")}
    files = {CONFIG: config.model_dump_json(indent=2).encode(), RUN: run.model_dump_json(indent=2).encode()}
    update_folder(folder, kind=TASK, files={**saved, **files})


def _choose(tables: Tables, tokenizer: Tokenizer, *, minutes: float | None, device: torch.device) -> str:
    source, target = tables.train.lengths.sum(axis=0)
    return default_preset(
        source_tokens=int(source),
        target_tokens=int(target),
        vocabulary=tokenizer.vocab_size,
        minutes=minutes,
        machine=Machine(flops=matmul_flops(device.type)),
    )


def _recipe(preset: str | None) -> Recipe:
    return named_preset(str(preset)) if preset else named_preset("tiny")


def _resolve(settings: Settings, recipe: Recipe, *, vocabulary: int | None) -> Run:
    """The recipe with the settings laid over it, checked; `vocabulary` is the tokenizer's size, once it is known.

    That size and the special tokens may be set, as the configuration of a run has them, but to nothing else.
    """
    resolved = Settings({table: dict(fields) for table, fields in recipe.items()}, path=settings.path)
    resolved["model"] = resize(recipe["model"], settings.get("model", {}))
    resolved["model"]["vocabulary"] = vocabulary or 1
    resolved.overridden, resolved.given = settings.overridden, settings.given
    for table, fields in settings.items():
        if isinstance(fields, Mapping):
            resolved[table] = {**resolved.get(table, {}), **fields}
        else:
            resolved[table] = fields
    run = validate(Run, resolved)
    if vocabulary and run.model.vocabulary != vocabulary:
        raise UserError(
            f"model.vocabulary is the tokenizer's, which is {vocabulary}: "
            "leave it out, and set tokenizer.size"
        )
    if run.model.special != SpecialTokens():
        raise UserError(
            f"{settings.origin(('model', 'special'))}model.special is the tokenizer's: leave it out"
        )
    return run


def _check(settings: Settings, preset: str | None) -> None:
    """Find what is wrong with settings before anything is read or written."""
    _resolve(settings, _recipe(preset), vocabulary=None)


def _placed(settings: Settings) -> Settings:
    """Checked settings whose files are found from any folder, so that a run can go on from another one."""
    data, path = settings["data"], settings.get("tokenizer", {}).get("path")
    places: dict[str, Any] = {
        f"data.{name}": [absolute(str(spec)) for spec in data.get(name, ())] for name in ("train", "valid")
    }
    return settings.over(places if path is None else {**places, "tokenizer.path": absolute(str(path))})


def _listed(value: Specs | None) -> list[str] | None:
    if value is None:
        return None
    return [str(value)] if isinstance(value, str | Path) else [str(each) for each in value]


def _device(name: str | None) -> torch.device:
    if name is None:
        # Of several processes that torchrun has started here, each takes a GPU of its own.
        name = f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in DEVICES:
            raise RuntimeError
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        there = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
        raise UserError(f'device "{name}" is not there (there are: {", ".join(there)})') from error
    return device


def _shapes(model: Seq2Seq) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _read_config(folder: Path) -> TranslatorConfig:
    path = folder / CONFIG
    if not path.exists():
        raise UserError(f"{folder}: the run has not got as far as a model: weft train --resume {folder}")
    return validate(TranslatorConfig, json.loads(path.read_text("utf-8")))


def _load_tokenizer(folder: Path, config: TranslatorConfig) -> Tokenizer | MarianTokenizer:
    marian = (folder / "source.spm").exists()
    return MarianTokenizer.load(folder) if marian else Tokenizer.load(folder)


def _write_json(folder: Path, name: str, value: Mapping[str, Any]) -> None:
    update_folder(folder, kind=TASK, files={name: json.dumps(value, indent=2, ensure_ascii=False).encode()})
