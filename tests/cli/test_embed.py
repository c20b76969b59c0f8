"""`weft embed`: vectors of any model that reads."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft
from weft.runs.folder import write_folder
from weft.saved import CONFIG


@pytest.mark.parametrize("task", ["classify", "tag", "answer", "embed"])
def test_any_model_that_reads_gives_vectors(
    task: str, command: Callable[..., Any], saved: Callable[..., Path], tmp_path: Path
) -> None:
    run, lines, out = saved(task), tmp_path / "lines.txt", tmp_path / "vectors.npy"
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
    command: Callable[..., Any], saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = saved("classify"), list[str]()
    load = weft.load
    monkeypatch.setattr(
        "weft.api.load", lambda *given, precision, **rest: asked.append(precision) or load(*given, **rest)
    )
    command("embed", run, "dog", "cat")
    command("embed", run, "dog", "cat", "--precision", "bfloat16")
    assert asked == ["float32", "bfloat16"]


def test_a_translator_has_no_vectors(command: Callable[..., Any], tmp_path: Path) -> None:
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
