"""The peers do what they are said to do: a slow or broken peer would flatter weft."""

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("transformers")

from benchmarks import huggingface
from benchmarks.huggingface import Shape, Training, Way
from benchmarks.huggingface_training import Settings, train
from benchmarks.multi30k import END, Pairs, batches, encode, pad, read_lines, train_bpe, write_made_up

SDPA = Way(torch.float32, "sdpa")


def some_pairs(count: int, *, vocabulary: int, longest: int) -> Pairs:
    """Sources of random tokens, and each reversed as its target."""
    chance = random.Random(0)
    rows = [
        [chance.randrange(4, vocabulary) for _ in range(chance.randint(2, longest))] for _ in range(count)
    ]
    return [([*row, END], [*reversed(row), END]) for row in rows]


def test_an_epoch_holds_every_pair_once_within_the_budget() -> None:
    pairs = some_pairs(200, vocabulary=50, longest=30)
    seen = []
    for batch in batches(pairs, tokens=256, seed=3):
        assert batch.source.numel() <= 256
        assert batch.target.numel() <= 256
        for source, target in zip(batch.source.tolist(), batch.target.tolist(), strict=True):
            seen.append((source[: source.index(END) + 1], target[: target.index(END) + 1]))
    assert sorted(seen) == sorted(pairs)
    tokens = sum(len(source) + len(target) for source, target in pairs)
    assert sum(batch.tokens for batch in batches(pairs, tokens=256, seed=3)) == tokens


def test_joint_bpe_gives_text_back() -> None:
    texts = ["Ein Hund läuft durch den Schnee.", "A dog runs through the snow."]
    tokenizer = train_bpe(texts, size=300)
    assert [text.strip() for text in tokenizer.decode_batch(encode(tokenizer, texts))] == texts
    assert tokenizer.get_vocab_size() == 300


def test_lengths_are_made_up_without_data(tmp_path: Path) -> None:
    write_made_up(tmp_path, words=100, lines=2000)
    counts = [
        [len(line.split()) + 1 for line in read_lines(tmp_path / f"train.{language}")]
        for language in ("de", "en")
    ]
    assert len(counts[0]) == 2000
    assert all(15 < sum(side) / len(side) < 16 for side in counts)
    assert np.corrcoef(counts)[0, 1] > 0.8


def test_both_attention_kernels_of_hugging_face_train_alike() -> None:
    shape = Shape(24, width=64, feed_forward=128, heads=4, encoder_layers=1, decoder_layers=1)
    plan = list(batches(some_pairs(40, vocabulary=24, longest=6), tokens=128, seed=0))
    sdpa, eager = (
        Training(shape, dropout=0.0, way=Way(torch.float32, attention), rate=3e-3)
        for attention in ("sdpa", "eager")
    )
    assert [sdpa.step(batch) for batch in plan] == pytest.approx([eager.step(batch) for batch in plan])


def test_hugging_face_learns_and_is_decoded() -> None:
    shape = Shape(24, width=64, feed_forward=128, heads=4, encoder_layers=1, decoder_layers=1)
    pairs = some_pairs(40, vocabulary=24, longest=6)
    training = Training(shape, dropout=0.0, way=SDPA, rate=3e-3)
    losses = [training.step(batch) for epoch in range(80) for batch in batches(pairs, tokens=128, seed=epoch)]
    assert losses[-1] < 0.5 * losses[0]
    model = training.model.eval()
    for beams in (1, 3):
        outputs = huggingface.translate(model, [source for source, _ in pairs], beams=beams, rows=16)
        right = sum([*output, END] == target for output, (_, target) in zip(outputs, pairs, strict=True))
        assert right > 0.9 * len(pairs)


@pytest.mark.parametrize("beams", [1, 4])
def test_ctranslate_says_what_hugging_face_says(beams: int) -> None:
    pytest.importorskip("ctranslate2")
    from benchmarks import ctranslate

    shape = Shape(200, width=64, feed_forward=128, heads=4, encoder_layers=2, decoder_layers=2)
    model = huggingface.make_model(shape, dropout=0.0, attention="sdpa").eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed" not in name:
                parameter.mul_(8)  # at their usual scale, random weights say one and the same to everything
    sources = [source for source, _ in some_pairs(24, vocabulary=200, longest=12)]
    theirs = huggingface.generate(model, pad(sources), beams=beams, longest=9, shortest=9)[:, 1:].tolist()
    assert len({tuple(row) for row in theirs}) > 8
    way = ctranslate.Way(2, 1)
    groups = [ctranslate.group(part, length=9) for part in (sources[:12], sources[12:])]
    exact = ctranslate.CTranslate(model, way=way, compute_type="float32").decode(groups, beams=beams)
    assert [row for rows in exact for row in rows] == theirs
    rounded = ctranslate.CTranslate(model, way=way).decode(groups, beams=beams)
    assert {len(row) for rows in rounded for row in rows} == {9}


def test_the_whole_run_of_hugging_face(tmp_path: Path, weft_data: Path) -> None:
    pytest.importorskip("ctranslate2")  # its version is written down with the others
    for part, lines in (("train", 60), ("val", 8), ("test_2016_flickr", 4)):
        for language in ("de", "en"):
            file = f"{part}.{language}{'.gz' if part == 'train' else ''}"
            text = "".join(f"{line}\n" for line in read_lines(weft_data / "multi30k" / file)[:lines]).encode()
            (tmp_path / file).write_bytes(gzip.compress(text) if part == "train" else text)
    settings = Settings(epochs=2, bpe=300, layers=1, width=16, feed_forward=32, batch_tokens=512, warmup=2)
    train(data=tmp_path, out=tmp_path / "work" / "out.json", settings=settings)
    record = json.loads((tmp_path / "work" / "out.json").read_text())
    assert Settings(**record["settings"]) == settings
    first, last = record["timeline"]
    assert last["loss"] < first["loss"]
    assert 0 < first["seconds"] < last["seconds"] == record["seconds"]
    assert 0 <= record["bleu"] <= 100
