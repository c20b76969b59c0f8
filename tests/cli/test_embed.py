"""`weft embed`: vectors of any model that reads."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import weft
from weft.description import CONFIG
from weft.runs.folder import write_folder


@pytest.mark.parametrize("task", ["classify", "tag", "answer", "embed"])
def test_any_model_that_reads_gives_vectors(
    task: str, command: Callable[..., Any], saved: Callable[..., Path], tmp_path: Path
) -> None:
    run, lines, out = saved(task), tmp_path / "lines.txt", tmp_path / "vectors.npy"
    lines.write_text("the dog runs\n\ncat\n")
    ran = command("embed", run, "--input", lines, "--out", out, "--json")
    assert (ran.status, json.loads(ran.out), ran.err) == (
        0,
        {"out": str(out), "texts": 3, "width": 16, "cut": 0},
        "",
    )
    expected = weft.load(run, precision="float32").embed(["the dog runs", "", "cat"])
    np.testing.assert_array_equal(np.load(out), expected)
    [pair] = json.loads(command("embed", run, "dog", "cat", "--json").out)
    assert pair["similarity"] == pytest.approx(
        float(np.prod(weft.load(run).embed(["dog", "cat"]), axis=0).sum())
    )


def test_a_link_stays_a_link_and_a_pipe_a_pipe(
    command: Callable[..., Any], saved: Callable[..., Path], tmp_path: Path
) -> None:
    run, link, pipe = saved("classify"), tmp_path / "link.npy", tmp_path / "pipe"
    link.symlink_to(tmp_path / "vectors.npy")
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as threads:
        piped = threads.submit(pipe.read_bytes)
        for out in (link, pipe):
            assert command("embed", run, "dog", "cat", "--out", out, "--overwrite").status == 0
        assert piped.result() == (tmp_path / "vectors.npy").read_bytes()
    assert link.is_symlink()
    assert pipe.is_fifo()


def test_vectors_are_made_in_float32_unless_one_asks_for_less(
    command: Callable[..., Any], saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = saved("classify"), list[str]()
    load = weft.load
    monkeypatch.setattr(
        "weft.loading.load", lambda *given, precision, **rest: asked.append(precision) or load(*given, **rest)
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


def test_what_was_cut_is_counted_and_named(
    command: Callable[..., Any], saved: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.cli.embed.BLOCK", 2)
    run, lines, out = saved("embed", length=8), tmp_path / "lines.txt", tmp_path / "vectors.npy"
    lines.write_text(f"dog\n{'dog ' * 7}\ncat\n{'dog ' * 6}\n{'dog ' * 9}\n")
    ran = command("embed", run, "--input", lines, "--out", out, "--truncate", "--json")
    assert json.loads(ran.out)["cut"] == 2
    warning = "weft: warning: 2 of 5 texts, longer than the 8 tokens that the model takes, were cut"
    assert (ran.status, ran.err) == (0, f"{warning}: lines 2, 5\n")
    vectors = np.load(out)
    np.testing.assert_array_equal(vectors[[1, 4]], vectors[[3, 3]])
    ran = command("embed", run, "dog", "dog " * 7, "--truncate")
    assert (ran.status, ran.err) == (0, f"{warning.replace('2 of 5', '1 of 2')}\n")
    ran = command("embed", run, "dog", "dog " * 7)
    assert (ran.status, ran.out) == (2, "")
    assert "has 9 tokens, more than the 8 that the model takes" in ran.err
