"""The peer of keras-hub's layers reads what weft reads, and learns."""

import gzip
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("keras_hub")

from benchmarks import keras_training
from benchmarks.huggingface import Shape
from benchmarks.keras_training import batches, compiled, keras_hub_model, timed

keras = pytest.importorskip("keras")

SHAPE = Shape(60, width=32, feed_forward=64, heads=4, encoder_layers=1, decoder_layers=1)


def test_the_peer_learns_and_sees_no_padding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_training, "SHAPE", SHAPE)
    keras.utils.set_random_seed(0)
    inputs, labels, said = batches(None, count=128)
    assert said == "random ids"
    assert all(array.shape == (128, keras_training.LENGTH) for array in (*inputs.values(), labels))
    model = keras_hub_model(SHAPE, dropout=0.0)
    padded = {name: np.pad(array, ((0, 0), (0, 3))) for name, array in inputs.items()}
    expected = np.asarray(model(inputs))
    assert expected.shape == (*labels.shape, SHAPE.vocabulary)
    np.testing.assert_allclose(np.asarray(model(padded))[:, : labels.shape[1]], expected, atol=1e-4)
    compiled(model, jit=False)
    model.optimizer.learning_rate = 3e-3
    losses = model.fit(inputs, labels, batch_size=32, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0] - 0.1
    monkeypatch.setattr(keras_training, "ROUNDS", 2)
    rates = timed({"keras-hub": model}, inputs, labels, tokens=1000)
    assert len(rates["keras-hub"]) == 2 and min(rates["keras-hub"]) > 0


def test_batches_are_of_multi30k_where_it_is(tmp_path: Path) -> None:
    texts = "Ein Hund läuft.\nA dog runs.\n" * 20
    for language in ("de", "en"):
        folder = tmp_path / "multi30k"
        folder.mkdir(exist_ok=True)
        (folder / f"train.{language}.gz").write_bytes(gzip.compress(texts.encode()))
    inputs, labels, said = batches(tmp_path, count=16)
    assert said.startswith("Multi30k")
    assert (inputs["target"][:, 1:] == np.where(labels == 2, 0, labels)[:, :-1]).all()
