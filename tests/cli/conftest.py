"""A command line without a model behind it: the calls are kept, the answers are made up."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch

from weft.cli import main
from weft.config import FOLDERS, ModelConfig, TranslatorConfig
from weft.description import CONFIG
from weft.errors import UserError
from weft.runs.folder import write_folder
from weft.runs.tensors import MODEL, save_tensors
from weft.saved import make_model
from weft.text.training import train_tokenizer

SHAPE = ModelConfig(
    vocabulary=9, width=8, encoder_layers=1, decoder_layers=1, heads=1, feed_forward=8
)  # of which nothing is used


class Translation(NamedTuple):
    text: str
    score: float
    tokens: list[str]
    truncated: bool
    refused: bool

    def as_dict(self) -> dict[str, Any]:
        return self._asdict()


class Evaluation(NamedTuple):
    direction: str
    bleu: float
    exact: float
    dropped: int
    left_out: tuple[str, ...]


class Result(NamedTuple):
    steps: int
    loss: float | None
    scores: dict[str, float]
    kept: str
    seconds: float
    padding: float


class Translator:
    """Turns a text into capitals; a text of more than five words is too long for it, and a blank one gives nothing."""

    config = TranslatorConfig(model=SHAPE, directions=(("de", "en"),), tags=False)

    def __init__(self, calls: list[SimpleNamespace]) -> None:
        self.calls = calls

    def translate(
        self, texts: list[str], *, nbest: int | None = None, truncate: bool = False, **options: Any
    ) -> list[Any]:
        self.calls.append(
            SimpleNamespace(name="translate", texts=texts, nbest=nbest, truncate=truncate, **options)
        )
        answers = [
            [self.answer(text, rank, truncate=truncate) for rank in range(self.count(text, nbest or 1))]
            for text in texts
        ]
        return [answer[0] for answer in answers] if nbest is None else answers

    def count(self, text: str, nbest: int) -> int:
        return nbest if 0 < len(text.split()) <= 5 else 1

    def answer(self, text: str, rank: int, *, truncate: bool) -> Translation:
        words = text.upper().split()
        long = len(words) > 5
        if long and not truncate:
            return Translation("", 0.0, [], truncated=False, refused=True)
        kept = words[:5]
        score = -0.5 - rank if words else 0.0
        return Translation(" ".join(kept) + "!" * rank, score, kept, truncated=long, refused=False)

    def evaluate(self, data: list[str], **options: Any) -> Evaluation:
        self.calls.append(SimpleNamespace(name="evaluate", data=data, **options))
        direction = f"{options['from_language']}-{options['to_language']}"
        left_out = ("2 left out as empty: b.tsv:3, b.tsv:9",) if "b.tsv" in data else ()
        return Evaluation(direction, 38.51, 0.25, 2 * len(left_out), left_out)

    def inspect(self, text: str, *, out: Path, **options: Any) -> Translation:
        self.calls.append(SimpleNamespace(name="inspect", text=text, **options))
        out.write_text("<html>")
        return self.answer(text, 0, truncate=True)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """What the command line asked of weft.api, which is replaced."""
    kept: list[SimpleNamespace] = []

    def record(name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            kept.append(SimpleNamespace(name=name, arguments=arguments, **options))
            return answer(*arguments, **options)

        return call

    def train(*_: Any, report: Any, out: Path | None = None, **__: Any) -> Result:
        report.start({"parameters": 1000})
        report.step(1, 10, 4.5, 1000.0, 0.001, 90.0)
        report.validation(5, 2.5, {"bleu": 30.0}, True)
        report.message("all is well")
        report.step(10, 10, 2.5, 1000.0, 0.0, 0.0)
        result = Result(10, 2.5, {"bleu": 30.0}, "average", 95.0, 0.012)
        report.finish(result)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
        return result

    def load(run: Path, **_: Any) -> Translator:
        if not run.is_dir():
            raise UserError(f"{run}: no such folder")
        return Translator(kept)

    api = ModuleType("weft.api")
    api.__dict__.update(
        train=record("train", train),
        resume=record("resume", train),
        import_model=record("import_model", lambda *_, **__: None),
        export_model=record("export_model", lambda *_, **__: None),
    )
    monkeypatch.setitem(sys.modules, "weft.api", api)
    monkeypatch.setattr("weft.description.read_config", lambda _: Translator.config)
    monkeypatch.setattr("weft.loading.describe", lambda _: Translator.config)
    monkeypatch.setattr("weft.loading.load", record("load", load))
    facts = {"parameters": 1000, "model": {"width": 64}}
    monkeypatch.setattr("weft.facts.info", record("info", lambda run: {"folder": str(run), **facts}))
    return kept


class Ran(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def weft(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    calls: list[SimpleNamespace],
) -> Callable[..., Ran]:
    """Run one command in this process and a folder of its own, in front of the made-up weft.api."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Ran:
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capfd.readouterr())

    return run


@pytest.fixture
def small_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(folder: Path, *, valid: int, test: int) -> None:
        for part in ("train", "valid", "test"):
            for language in ("en", "de", "fr"):
                (folder / f"{part}.{language}").write_text(
                    f"one {language}\ntwo {language}\nthree {language}\n"
                )

    monkeypatch.setattr("weft.cli.demo.write_corpus", write)


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Run one command in this process, in front of weft itself."""

    def run(*arguments: object) -> Ran:
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capfd.readouterr())

    return run


HEADS = {"classify": ("pooler", "classify"), "tag": ("tag",), "answer": ("answer",), "embed": ()}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    """Write the folder of a small model for a task, its weights random."""

    def write(task: str, **fields: Any) -> Path:
        tokenizer = train_tokenizer(["dog cat runs sleeps"], kind="words", size=20)
        shape = {"width": 16, "heads": 2, "feed_forward": 16, "encoder_layers": 1, "max_length": 24}
        model = {"architecture": "encoder", "vocabulary": tokenizer.vocab_size, **shape}
        labels = ("O", "B-PER") if task in ("classify", "tag") else ()
        given = {"model": model, "heads": HEADS[task], "labels": labels, "pooling": "mean"}
        config = FOLDERS[task].model_validate({**given, **fields})
        torch.manual_seed(0)
        files: dict[str, Any] = {
            CONFIG: config.model_dump_json().encode(),
            MODEL: partial(save_tensors, tensors=make_model(config).state_dict()),
        }
        with TemporaryDirectory() as aside:
            tokenizer.save(Path(aside))
            files |= {path.name: path.read_bytes() for path in Path(aside).iterdir()}
        write_folder(tmp_path / "run", kind=task, files=files)
        return tmp_path / "run"

    return write
