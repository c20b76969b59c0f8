"""Texts as vectors: pooled as the configuration says, and none of the others' business."""

from typing import Any

import numpy as np
import pytest
import torch

from weft.config import (
    AnswererConfig,
    ClassifierConfig,
    EncoderConfig,
    FillerConfig,
    ModelConfig,
    TaggerConfig,
)
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.pipelines.answerer import Answerer
from weft.pipelines.classifier import Classifier
from weft.pipelines.embedder import Embedder
from weft.pipelines.filler import Filler
from weft.pipelines.tagger import Tagger
from weft.tasks.masking import MASK
from weft.tasks.reading import Reader
from weft.text.training import train_tokenizer

WORDS = ["dog", "cat", "house", "green", "runs", "sees", "the", "a", "old"]
SHAPE = {
    "architecture": "encoder",
    "width": 32,
    "heads": 2,
    "feed_forward": 64,
    "encoder_layers": 2,
    "max_length": 32,
    "segments": 2,
    "special": {"mask": 4},
}


def embedder(**config: Any) -> Embedder:
    """Random weights."""
    tokenizer = train_tokenizer([" ".join(WORDS)], kind="words", special=[MASK], size=20)
    model = ModelConfig.model_validate({"vocabulary": tokenizer.vocab_size, **SHAPE})
    torch.manual_seed(0)
    return Embedder(EncoderConfig(model=model, **config), network=Reader(Encoder(model)), tokenizer=tokenizer)


def texts(count: int) -> list[str]:
    chance = np.random.default_rng(1)
    return [" ".join(chance.choice(WORDS, size)) for size in chance.integers(0, 30, count)]


@pytest.mark.parametrize("pooling", ["first", "mean"])
@pytest.mark.parametrize("normalise", [False, True])
def test_a_vector_is_the_pooled_states_of_its_text(pooling: Any, normalise: bool) -> None:
    it = embedder(pooling=pooling, normalise=normalise)
    found = it.embed("the dog runs")
    ids = torch.tensor([[1, *it.tokenizer.encode(["the dog runs"])[0], 2]])
    with torch.inference_mode():
        states = it.network.model(ids)[0]
    expected = states[0] if pooling == "first" else states.mean(0)
    if normalise:
        expected = expected / expected.norm()
    assert (found.shape, found.dtype) == ((32,), np.float32)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_no_vector_depends_on_its_neighbours(pooling: Any) -> None:
    it = embedder(pooling=pooling)
    every = texts(64)
    whole = it.embed(every)
    assert whole.shape == (64, 32)
    for size in (1, 7):
        parts = np.concatenate([it.embed(every[at : at + size]) for at in range(0, 64, size)])
        np.testing.assert_allclose(parts, whole, atol=1e-6, rtol=0)
    distinct = {each: vector.tobytes() for each, vector in zip(every, whole, strict=True)}
    assert len(set(distinct.values())) == len(distinct)
    backwards = it.embed(every[::-1])[::-1]
    np.testing.assert_allclose(backwards, whole, atol=1e-6, rtol=0)


def test_many_texts_of_one_length_are_read_in_several_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    it = embedder()
    every = [f"{one} {other} {third}" for one in WORDS for other in WORDS for third in WORDS[:3]]
    whole = it.embed(every)
    shapes: list[tuple[int, ...]] = []
    it.network.model.register_forward_pre_hook(lambda model, given: shapes.append(tuple(given[0].shape)))
    monkeypatch.setattr("weft.tasks.reading.READ_TOKENS", 100)
    np.testing.assert_allclose(it.embed(every), whole, atol=1e-6, rtol=0)
    assert len(shapes) > 10
    assert max(rows * length for rows, length in shapes) <= 100


def test_few_and_none(monkeypatch: pytest.MonkeyPatch) -> None:
    it = embedder()
    assert it.embed([]).shape == (0, 32)
    assert it.embed([""]).shape == (1, 32)
    shapes: list[tuple[int, ...]] = []
    it.network.model.register_forward_pre_hook(lambda model, given: shapes.append(tuple(given[0].shape)))
    it.embed("dog")
    assert shapes == [(1, 18)]


def test_a_long_text_is_named_or_cut() -> None:
    it = embedder()
    text = " ".join(["green"] + ["dog"] * 40)
    with pytest.raises(UserError, match='"green dog .*…" has 43 tokens, more than the 32 .*truncate'):
        it.embed(["cat", text])
    cut = it.embed(["cat", text], truncate=True)
    np.testing.assert_array_equal(cut[1], it.embed(" ".join(["green"] + ["dog"] * 29)))


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(UserError, match="number 1, counted from 0, is None"):
        embedder().embed(["dog", None])  # type: ignore[list-item]


LABELS = {"labels": ("O", "B-PER")}


@pytest.mark.parametrize(
    ("kind", "config", "more"),
    [
        (Filler, FillerConfig, {"heads": ("masked",)}),
        (Classifier, ClassifierConfig, {"heads": ("pooler", "classify"), **LABELS}),
        (Tagger, TaggerConfig, {"heads": ("tag",), **LABELS}),
        (Answerer, AnswererConfig, {"heads": ("answer",)}),
    ],
)
@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_any_encoder_gives_vectors(kind: Any, config: Any, more: dict[str, Any], pooling: Any) -> None:
    it = embedder(pooling=pooling)
    described = config(model=it.config.model, pooling=pooling, **more)
    encoder = Encoder(described.model, heads=described.heads, labels=described.outputs)
    encoder.load_state_dict({**encoder.state_dict(), **it.network.model.state_dict()})
    reader = kind(described, network=Reader(encoder), tokenizer=it.tokenizer)
    every = texts(5)
    np.testing.assert_array_equal(reader.embed(every), it.embed(every))
    np.testing.assert_array_equal(reader.embed(every[0]), it.embed(every)[0])
    with pytest.raises(UserError, match="43 tokens, more than the 32"):
        reader.embed("green" + " dog" * 40)
