"""The peers of the encoders do what they are said to do, on the same tokens."""

import gzip
import random
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from benchmarks import huggingface_encoder
from benchmarks.huggingface import Way
from benchmarks.huggingface_encoder import IGNORED, MaskedTraining, Shape, make_reader, sorted_batches
from benchmarks.weft_encoder import WORDS, WeftMasking, make_embedder, spell

from weft.text.encode import read_texts

SHAPE = Shape(60, width=32, feed_forward=64, heads=2, encoder_layers=2)
SDPA = Way(torch.float32, "sdpa")
EAGER = Way(torch.float32, "eager")


def some_texts(count: int) -> list[list[int]]:
    chance = random.Random(0)
    sizes = [chance.randint(1, 20) for _ in range(count)]
    return [[1, *(chance.randrange(WORDS, SHAPE.vocabulary) for _ in range(size)), 2] for size in sizes]


@pytest.fixture
def masking(tmp_path: Path) -> WeftMasking:
    chance = random.Random(0)
    lines = [" ".join(f"w{chance.randrange(50)}" for _ in range(40)) for _ in range(400)]
    (tmp_path / "text.txt.gz").write_bytes(gzip.compress("\n\n".join(lines).encode()))
    return WeftMasking(tmp_path / "text.txt.gz", shape=SHAPE, dropout=0.0, folder=tmp_path / "weft")


def test_both_sides_pretrain_on_the_same_hidden_tokens(masking: WeftMasking) -> None:
    masking.step(3)
    batch = masking.batch(3)
    assert 120 < batch.ids.shape[1] <= 128
    assert batch.ids.numel() <= 4096
    hidden = batch.labels != IGNORED
    assert hidden.sum() / batch.tokens == pytest.approx(0.15, abs=0.02)
    assert (batch.ids[hidden] == masking.trainer.task.hider.mask_id).float().mean() > 0.7  # type: ignore[attr-defined]
    assert set(batch.labels[hidden].tolist()) <= set(range(5, 60))
    read = masking.trainer.task.collate(masking.trainer.batches.batch(3))
    assert torch.equal(read["labels"], batch.labels[hidden])


def test_both_attention_kernels_pretrain_alike(masking: WeftMasking) -> None:
    losses = []
    for way in (SDPA, EAGER):
        torch.manual_seed(0)
        training = MaskedTraining(SHAPE, dropout=0.0, way=way, rate=1e-2)
        losses.append([training.step(masking.batch(0)) for _ in range(12)])
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    assert losses[0][-1] < losses[0][0] - 0.1


def test_weft_reads_the_tokens_that_the_peers_are_given() -> None:
    texts, embedder = some_texts(30), make_embedder(SHAPE)
    readings = read_texts(embedder.tokenizer, [spell(text) for text in texts], maximum=64, cut=False)
    assert [reading.ids for reading in readings] == texts
    assert embedder.embed([spell(text) for text in texts]).shape == (30, 32)


def test_sorted_batches_hold_every_text_once_with_little_padding() -> None:
    texts = some_texts(30)
    batches = sorted_batches(texts, rows=4)
    assert sorted(number for numbers, _ in batches for number in numbers) == list(range(30))
    for numbers, ids in batches:
        assert [row[: len(texts[number])] for number, row in zip(numbers, ids.tolist(), strict=True)] == [
            texts[number] for number in numbers
        ]
    assert sum(ids.numel() for _, ids in batches) < 1.2 * sum(map(len, texts))


def test_the_peers_give_the_same_vectors_whatever_the_batch() -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from benchmarks.onnx_encoder import OnnxReader

    texts, model = some_texts(30), make_reader(SHAPE, way=EAGER)
    found = huggingface_encoder.read(model, texts, rows=4)
    states = model(input_ids=torch.tensor([texts[7]])).last_hidden_state[0]
    np.testing.assert_allclose(found[7], states.mean(0).detach(), atol=1e-5)
    assert np.ptp(found, axis=0).mean() > 0.5
    sdpa = huggingface_encoder.read(make_reader(SHAPE, way=SDPA), texts, rows=9)
    np.testing.assert_allclose(sdpa, found, atol=1e-5)
    exact = OnnxReader(model, threads=1, int8=False).read(texts, rows=9)
    np.testing.assert_allclose(exact, found, atol=1e-5)
    rounded = OnnxReader(model, threads=1).read(texts, rows=9)
    assert 1e-5 < np.abs(rounded - found).max() < 0.3
