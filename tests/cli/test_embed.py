"""`weft embed`: vectors of any model that reads."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

import weft
from weft.cli import main
from weft.config import FOLDERS, ModelConfig
from weft.runs.folder import write_folder
from weft.runs.tensors import MODEL, save_tensors
from weft.saved import CONFIG, make_model
from weft.text.training import train_tokenizer

HEADS = {"classify": ("pooler", "classify"), "tag": ("tag",), "answer": ("answer",), "embed": ()}
WORDS = ["dog", "cat", "runs", "sleeps"]


class Ran(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def run(*arguments: object) -> Ran:
        status = main([str(argument) for argument in arguments])
        return Ran(status, *capfd.readouterr())

    return run


def saved(folder: Path, task: str, **fields: Any) -> Path:
    """A model's folder, its weights random."""
    tokenizer = train_tokenizer([" ".join(WORDS)], kind="words", size=20)
    shape = {"width": 16, "heads": 2, "feed_forward": 16, "encoder_layers": 1, "max_length": 24}
    model = ModelConfig(architecture="encoder", vocabulary=tokenizer.vocab_size, **shape)  # type: ignore[arg-type]
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
    write_folder(folder, kind=task, files=files)
    return folder


@pytest.mark.parametrize("task", HEADS)
def test_any_model_that_reads_gives_vectors(task: str, command: Callable[..., Ran], tmp_path: Path) -> None:
    run, lines, out = saved(tmp_path / "run", task), tmp_path / "lines.txt", tmp_path / "vectors.npy"
    lines.write_text("the dog runs\n\ncat\n")
    ran = command("embed", run, "--input", lines, "--out", out, "--json")
    assert (ran.status, json.loads(ran.out), ran.err) == (0, {"out": str(out), "texts": 3, "width": 16}, "")
    expected = weft.load(run, precision="float32").embed(["the dog runs", "", "cat"])
    np.testing.assert_array_equal(np.load(out), expected)
    [pair] = json.loads(command("embed", run, "dog", "cat", "--json").out)
    assert pair["similarity"] == pytest.approx(
        float(np.prod(weft.load(run).embed(["dog", "cat"]), axis=0).sum())
    )


def test_vectors_are_made_in_float32_unless_one_asks_for_less(
    command: Callable[..., Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = saved(tmp_path / "run", "classify"), list[str]()
    load = weft.load
    monkeypatch.setattr(
        "weft.api.load", lambda *given, precision, **rest: asked.append(precision) or load(*given, **rest)
    )
    command("embed", run, "dog", "cat")
    command("embed", run, "dog", "cat", "--precision", "bfloat16")
    assert asked == ["float32", "bfloat16"]


def test_a_translator_has_no_vectors(command: Callable[..., Ran], tmp_path: Path) -> None:
    shape = {
        "vocabulary": 9,
        "width": 8,
        "heads": 1,
        "feed_forward": 8,
        "encoder_layers": 1,
        "decoder_layers": 1,
    }
    config = {"task": "translate", "model": shape, "directions": [["de", "en"]], "tags": False}
    write_folder(tmp_path / "run", kind="translate", files={CONFIG: json.dumps(config).encode()})
    message = f"weft: error: {tmp_path}/run: a model for the task translate, which has no vectors for texts\n"
    assert command("embed", tmp_path / "run", "a", "b") == (2, "", message)
