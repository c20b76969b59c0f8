"""Each benchmark from end to end, at sizes that say nothing about speed."""

import gzip
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")
pytest.importorskip("ctranslate2")

from benchmarks import (
    corpus_decoding,
    decoding,
    huggingface_decoder,
    huggingface_encoder,
    masked_throughput,
    reading,
    training_throughput,
    writing,
)
from benchmarks.huggingface import Shape
from benchmarks.multi30k import read_lines, write_made_up
from benchmarks.report import Options

import weft
from weft.nn.precision import fast_dtype

TINY = Shape(120, width=16, feed_forward=32, heads=2, encoder_layers=1, decoder_layers=1)
TINY_BERT = huggingface_encoder.Shape(120, width=16, feed_forward=32, heads=2, encoder_layers=1)


@pytest.fixture(autouse=True)
def one_core(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The benchmarks take all cores there are; tests share them."""
    before = torch.get_num_threads()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    yield
    torch.set_num_threads(before)


def test_training_throughput(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(training_throughput, "SHAPE", TINY)
    monkeypatch.setattr(training_throughput, "BATCH_TOKENS", 128)
    monkeypatch.setattr(training_throughput, "MEASURED", 2)
    monkeypatch.setattr(training_throughput, "write_made_up", partial(write_made_up, lines=300))
    (row,) = training_throughput.run(Options(data=None, work=tmp_path))
    assert row.weft > 0
    assert row.peer_value > 0
    assert "made-up" in row.work
    assert "Muon" in row.weft_settings
    assert "fused AdamW" in row.peer_settings


def test_decoding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(decoding, "SHAPE", TINY)
    monkeypatch.setattr(decoding, "SENTENCES", 4)
    monkeypatch.setattr(decoding, "LENGTH", 6)
    monkeypatch.setattr(decoding, "ROUNDS", 1)
    rows = decoding.run(Options(data=None, work=tmp_path))
    assert [(row.what, row.peer) for row in rows] == [
        ("beam 4, 1 core", "CTranslate2"),
        ("beam 4, 1 core", "Hugging Face"),
        ("greedy, 1 core", "CTranslate2"),
        ("greedy, 1 core", "Hugging Face"),
    ]
    assert all(row.weft > 0 and row.peer_value > 0 for row in rows)
    assert "int8" in rows[0].peer_settings


def test_writing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny = huggingface_decoder.Shape(65, width=16, heads=2, layers=1, length=64)
    monkeypatch.setattr(writing, "NANO", tiny._replace(length=32))
    monkeypatch.setattr(writing, "GPT2", tiny)
    monkeypatch.setattr(writing, "MEASURED", 1)
    monkeypatch.setattr(writing, "WRITTEN", 5)
    monkeypatch.setattr(writing, "ATTENTION", 40)
    monkeypatch.setattr(writing, "SEGMENT", 8)
    monkeypatch.setattr(writing, "XL", {"width": 16, "heads": 2, "feed_forward": 16, "decoder_layers": 1})
    rows = writing.run(Options(data=None, work=tmp_path))
    assert [row.what for row in rows] == [
        "training, 1 core",
        "one stream, float32, 1 core",
        *(["one stream, bfloat16, 1 core"] if fast_dtype("cpu") == torch.bfloat16 else []),
        "evaluation with a memory, 1 core",
    ]
    assert all(row.weft > 0 and row.peer_value > 0 for row in rows)
    assert "Muon" in rows[0].weft_settings


def test_masked_throughput(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(masked_throughput, "SHAPE", TINY_BERT)
    monkeypatch.setattr(masked_throughput, "MEASURED", 1)
    monkeypatch.setattr(masked_throughput, "LINES", 400)
    (row,) = masked_throughput.run(Options(data=None, work=tmp_path))
    assert row.weft > 0
    assert row.peer_value > 0
    assert "1 core" in row.what
    assert "made-up" in row.work
    assert "Muon" in row.weft_settings
    assert "fused AdamW" in row.peer_settings


@pytest.mark.parametrize("onnx", [True, False])
def test_reading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, onnx: bool) -> None:
    if onnx:
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    else:
        monkeypatch.setattr(reading, "find_spec", lambda name: None)
    monkeypatch.setattr(reading, "SHAPE", TINY_BERT)
    monkeypatch.setattr(reading, "SENTENCES", 6)
    monkeypatch.setattr(reading, "ROUNDS", 1)
    rows = reading.run(Options(data=None, work=tmp_path))
    assert [row.peer for row in rows] == ["Hugging Face", *(["ONNX Runtime"] if onnx else [])]
    assert all(row.weft > 0 and row.peer_value > 0 for row in rows)
    assert ("ONNX Runtime is left out: onnx" in rows[0].work) == (not onnx)
    assert "float32" in rows[0].weft_settings
    assert not onnx or "int8" in rows[1].peer_settings


def test_corpus_decoding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weft_data: Path) -> None:
    folder = tmp_path / "multi30k"
    folder.mkdir()
    for language in ("de", "en"):
        lines = read_lines(weft_data / "multi30k" / f"train.{language}.gz")[:40]
        text = "".join(f"{line}\n" for line in lines)
        (folder / f"train.{language}.gz").write_bytes(gzip.compress(text.encode()))
        (folder / f"test_2016_flickr.{language}").write_text("".join(f"{line}\n" for line in lines[:5]))
    weft.train(
        "translate",
        train=str(folder / "train.{de,en}.gz"),
        out=tmp_path / "run",
        steps=1,
        from_language="de",
        to_language="en",
        overrides={"tokenizer.size": 300, "model.width": 16, "model.heads": 2, "model.max_length": 64},
    )
    monkeypatch.setattr(corpus_decoding, "ROUNDS", 1)
    rows = corpus_decoding.run(Options(data=tmp_path, work=tmp_path, run=tmp_path / "run"))
    assert [row.what for row in rows] == ["beam 4, 1 core", "greedy, 1 core"]
    assert all(row.weft > 0 and row.peer_value > 0 for row in rows)
    assert "5 sentences" in rows[0].work
    assert "random weights" in rows[0].peer_settings
