"""All that the command line does, from Python: train, resume, load, import and export."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch

from weft.config import EncoderConfig, GeneratorConfig
from weft.description import RUN, read_config, tokenizer_class
from weft.errors import UserError
from weft.exchange import export_model, import_model
from weft.facts import read_result
from weft.interchange.ctranslate2_import import is_ctranslate2
from weft.loading import load
from weft.models.decoder import Decoder
from weft.models.encoder import Encoder
from weft.models.ngrams import load_ngrams
from weft.models.seq2seq import Seq2Seq
from weft.models.transformer_xl import TransformerXL
from weft.nn.inference import Precision, choose_precision, convert
from weft.overrides import load_settings
from weft.pipelines.ctranslate2 import load_ctranslate2
from weft.pipelines.generator import Generator
from weft.pipelines.registry import PIPELINES
from weft.pipelines.torch_seq2seq import TorchSeq2Seq
from weft.pipelines.translator import Evaluation, Translation, Translator
from weft.preparation import DATA, check, find_problem, placed, prepare, prospect, read_run, refuse_large
from weft.runs.claim import claim, give_back
from weft.runs.folder import REQUEST, update_folder
from weft.saved import load_saved
from weft.tasks.reading import Reader
from weft.tasks.registry import PROBLEMS
from weft.text.tokenizer import Tokenizer
from weft.training.loop import Trainer
from weft.training.metrics import METRICS
from weft.training.report import Reporter, Result, Silent
from weft.training.world import World

__all__ = [
    "Evaluation",
    "Result",
    "Translation",
    "Translator",
    "export_model",
    "import_model",
    "load",
    "resume",
    "train",
]

DEVICES = ("cpu", "cuda", "mps")

Specs: TypeAlias = str | Path | Sequence[str | Path]


def train(
    task: str = "translate",
    *,
    train: Specs | None = None,
    out: str | Path,
    valid: Specs | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    seed: int | None = None,
    columns: str | Sequence[str] | None = None,
    preset: str | None = None,
    tokenizer: str | None = None,
    from_checkpoint: str | Path | None = None,
    config: str | Path | None = None,
    overrides: Mapping[str, Any] | str | Sequence[str] = (),
    device: str | None = None,
    report: Reporter | None = None,
    **options: Any,
) -> Result:
    """Train a model and leave it in the folder `out`.

    `train` and `valid` are patterns or files, and `columns` names or "en,de", as the command line takes them; the run's
    length is one of `minutes`, `steps` and `epochs`. `tokenizer` is the kind of its pieces, and `from_checkpoint` the folder
    of an encoder or a decoder to begin with. Settings
    come from a preset (by default the one that suits the data and the time), then from the file `config`, then from
    `overrides`, then from the arguments here. `options` are the task's own settings, such as `from_language` for
    "translate" and `text_column` for "classify". An error before the first step leaves the folder as it was.
    """
    began = time.monotonic()
    problem = find_problem(task)
    given: dict[str, Any] = {
        "task": task,
        "tokenizer.kind": tokenizer,
        "data.train": _listed(train),
        "data.valid": _listed(valid),
        "data.columns": _listed(columns.split(",") if isinstance(columns, str) else columns),
        "train.minutes": minutes,
        "train.steps": steps,
        "train.epochs": epochs,
        "train.seed": seed,
        "from_checkpoint": None if from_checkpoint is None else str(from_checkpoint),
        **{f"{problem.table}.{name}": value for name, value in options.items()},
    }
    settings = load_settings(config, overrides)
    settings = settings.over({key: value for key, value in given.items() if value is not None})
    preset = preset or settings.pop("preset", None)
    check(settings, preset)
    folder, world = Path(out), World()
    if not world.leads:
        return _run(folder, began=began, device=device, report=report, world=world)
    with claim(folder) as made:
        try:
            request = {"preset": preset, "settings": placed(settings)}
            content = json.dumps(request, indent=2, ensure_ascii=False).encode()
            update_folder(folder, kind=task, files={REQUEST: content})
            return _run(folder, began=began, device=device, report=report, world=world)
        except Exception:
            if not (folder / METRICS).exists():  # no step was made
                give_back(folder, made=made)
            raise


def resume(run: str | Path, *, device: str | None = None, report: Reporter | None = None) -> Result:
    """Go on with a run that was stopped, bit for bit as if it never had been; one that is finished stays as it is."""
    began = time.monotonic()
    folder, world = Path(run), World()
    if not world.leads:
        return read_result(folder) or _run(folder, began=began, device=device, report=report, world=world)
    with claim(folder, resume=True):
        if not (folder / REQUEST).exists():
            raise UserError(f"{folder}: a model, but not a run: there is nothing to go on with")
        if (result := read_result(folder)) is not None:
            if report is not None:
                report.message("the run is finished: nothing is left to do")
                report.finish(result)
            return result
        return _run(folder, began=began, device=device, report=report, world=world)


def load_on_torch(
    path: Path, *, task: str | None, device: str | None, precision: Precision | Literal["auto"]
) -> Any:
    """What `load` gives where a model runs on PyTorch; or on CTranslate2."""
    where = _device(device)
    if is_ctranslate2(path):
        return load_ctranslate2(path, task=task, device=where, precision=precision)
    if task is not None and (there := read_config(path).task) != task:
        raise UserError(f"{path}: a model for the task {there}, where one for {task} is needed")
    config, model, tokenizer = load_saved(path)
    if precision == "auto" and isinstance(config, EncoderConfig):
        precision = "float32"  # vectors lie close together: their last digits count
    chosen = choose_precision(precision, width=config.model.width, device=where)
    model = convert(model.to(where), chosen)
    beside = {"ngrams": ngrams} if (ngrams := load_ngrams(path, config)) else {}
    if isinstance(config, GeneratorConfig):
        assert isinstance(model, Decoder | TransformerXL)
        assert isinstance(tokenizer, Tokenizer)
        return Generator(config, model=model, tokenizer=tokenizer, precision=chosen)
    assert isinstance(model, Encoder | Seq2Seq)
    network = Reader(model) if isinstance(model, Encoder) else TorchSeq2Seq(model)
    return PIPELINES[config.task](config, network=network, tokenizer=tokenizer, precision=chosen, **beside)


def _run(folder: Path, *, began: float, device: str | None, report: Reporter | None, world: World) -> Result:
    """Prepare what is not prepared yet, and train."""
    reporter = report if report is not None and world.leads else Silent()
    where = _device(device)
    if where.type == "cuda":
        torch.cuda.set_device(where)  # where the processes' own messages go
    if world.leads and not (folder / RUN).exists():
        prepare(folder, reporter=reporter, device=where)
    world.wait()
    run = read_run(folder)
    problem = PROBLEMS[run.task](run)
    tokenizer = tokenizer_class(read_config(folder)).load(folder)
    task = problem.make_task(folder / DATA, tokenizer=tokenizer, begun=True, tell=reporter.message)
    for line in task.left_out:
        reporter.message(line)
    refuse_large(task, tokens=run.train.batch_tokens)
    torch.manual_seed(run.train.seed)
    trainer = Trainer(
        problem.make_model(run.model).to(where),
        task,
        config=run.train,
        folder=folder,
        kind=run.task,
        reporter=reporter,
        world=world,
        began=began,
    )
    reporter.start({"out": str(folder), **prospect(run, trainer)})
    try:
        return trainer.run()
    finally:
        world.close()


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
