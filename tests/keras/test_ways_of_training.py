"""Models train in the ways that Keras users have: on several devices, with callbacks, as layers of a model of their own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weft.config import ModelConfig, SpecialTokens

pytest.importorskip("tensorflow")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras_itself = pytest.importorskip("keras")
keras = pytest.importorskip("weft.keras")

CONFIG = ModelConfig(
    architecture="seq2seq",
    vocabulary=20,
    width=32,
    heads=4,
    feed_forward=48,
    encoder_layers=1,
    decoder_layers=1,
    position="rotary",
    max_length=16,
)

ON_TWO_DEVICES = """
import keras
import numpy as np
import tensorflow as tf

(device,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)

import weft.keras
from weft.config import ModelConfig

config = ModelConfig.model_validate_json({config!r})
draw = np.random.default_rng(0)
texts = [draw.integers(4, 20, size=draw.integers(2, 9)).tolist() for _ in range(75)]
some = {{"special": config.special, "batch_tokens": 10_000, "repeat": False}}
((inputs, labels),) = weft.keras.pair_batches([[*text, 2] for text in texts], texts, replicas=2, **some)
inputs = {{name: each.numpy() for name, each in inputs.items()}}
inputs, labels = {{name: each[:64] for name, each in inputs.items()}}, labels.numpy()[:64]
first, second = (labels[:32] != 0).sum(), (labels[32:] != 0).sum()
assert first != second  # the labels are not shared out evenly


def train(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = weft.keras.make_model(config)
        model.compile(keras.optimizers.SGD(0.1), loss=weft.keras.CrossEntropy(pad=0), jit_compile=False)
    history = model.fit(inputs, labels, batch_size=64, epochs=4, shuffle=False, verbose=0)
    return model, history.history["loss"]

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
one, losses = train(tf.distribute.get_strategy())
two, shared = train(strategy)
assert losses[-1] < losses[0] - 0.2, losses
np.testing.assert_allclose(shared, losses, rtol=1e-4)
for ours, theirs in zip(two.get_weights(), one.get_weights(), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-4)

some["batch_tokens"] = 160
data = weft.keras.pair_batches([[*text, 2] for text in texts], texts, replicas=2, **some)
history = two.fit(data, epochs=3, shuffle=False, verbose=0).history["loss"]
assert history[-1] < shared[-1], history
"""


def copies(count: int) -> tuple[dict[str, Any], Any]:
    """Rows of one length, and their copies: what a model is given, and what it is to say."""
    texts = np.random.default_rng(0).integers(4, 20, size=(count, 6)).astype("int32")
    start, end = np.full((count, 1), 1, "int32"), np.full((count, 1), 2, "int32")
    inputs = {"source": np.hstack([texts, end]), "target": np.hstack([start, texts])}
    return inputs, np.hstack([texts, end])


def test_two_devices_learn_what_one_does() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ON_TWO_DEVICES.format(config=CONFIG.model_dump_json())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)  # Keras's of its own variables
def test_callbacks_see_the_curve_and_stop(tmp_path: Path) -> None:
    keras_itself.utils.set_random_seed(0)
    model = keras.make_model(CONFIG)
    model.compile(keras_itself.optimizers.Adam(3e-3), loss=keras.CrossEntropy(pad=0), jit_compile=False)
    inputs, labels = copies(64)
    stopping = keras_itself.callbacks.EarlyStopping(
        "val_loss", patience=1, min_delta=10.0, restore_best_weights=True
    )
    best = tmp_path / "best.weights.h5"
    history = model.fit(
        inputs,
        labels,
        validation_data=(inputs, labels),
        epochs=9,
        verbose=0,
        callbacks=[
            stopping,
            keras_itself.callbacks.TensorBoard(tmp_path / "events"),
            keras_itself.callbacks.ModelCheckpoint(best, save_best_only=True, save_weights_only=True),
        ],
    )
    assert len(history.epoch) == 2  # nothing gains 10 nats
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for side, tag in (("train", "epoch_loss"), ("validation", "epoch_loss")):
        events = reader.EventAccumulator(str(tmp_path / "events" / side))
        events.Reload()
        assert tag in events.Tags()["tensors"]
        assert len(events.Tensors(tag)) == 2
    other = keras.make_model(CONFIG)
    other.load_weights(best)
    expected = history.history["val_loss"][-1]
    other.compile(loss=keras.CrossEntropy(pad=0), jit_compile=False)
    assert other.evaluate(inputs, labels, verbose=0) == pytest.approx(expected, rel=1e-4)


def test_attention_between_three_words_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["the", "cat", "sat"]
    keras_itself.utils.set_random_seed(0)
    vectors = keras.Embedding(len(words), 16)(np.arange(3)[None])
    attention = keras.MultiHeadAttention(num_heads=2, key_dim=8)
    _, weights = attention(vectors, use_causal_mask=True, return_attention_scores=True)
    for head, scores in enumerate(np.asarray(weights)[0]):
        for word, row in zip(words, scores, strict=True):
            seen = ", ".join(f"{each} {weight:.2f}" for each, weight in zip(words, row, strict=True))
            print(f"head {head}: {word} looks at {seen}")  # noqa: T201
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert lines[0] == "head 0: the looks at the 1.00, cat 0.00, sat 0.00"
    for line in lines:
        shares = [float(part.rpartition(" ")[2]) for part in line.split(", ")]
        assert sum(shares) == pytest.approx(1, abs=0.015)


class Transformer(keras_itself.Model):
    """An encoder-decoder as introductory articles write it: a class of layers."""

    def __init__(self, layers: int, *, width: int, heads: int, feed_forward: int, vocabulary: int) -> None:
        super().__init__()
        block = {"num_heads": heads, "key_dim": width // heads, "feed_forward": feed_forward}
        self.words = keras.Embedding(vocabulary, width, mask_zero=True)
        self.encoder = keras.TransformerEncoder(layers, position=keras.PositionalEncoding(width), **block)
        self.decoder = keras.TransformerDecoder(layers, position=keras.PositionalEncoding(width), **block)
        self.final = keras_itself.layers.Dense(vocabulary)

    def call(self, inputs: dict[str, Any]) -> Any:
        memory = self.encoder(self.words(inputs["source"]))
        real = keras_itself.ops.not_equal(inputs["source"], 0)
        return self.final(self.decoder(self.words(inputs["target"]), memory, memory_mask=real))


def test_a_class_of_layers_compiles_and_fits() -> None:
    keras_itself.utils.set_random_seed(0)
    model = Transformer(2, width=32, heads=4, feed_forward=64, vocabulary=20)
    loss = keras_itself.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras_itself.optimizers.Adam(3e-3), loss=loss, metrics=["accuracy"], jit_compile=False)
    inputs, labels = copies(256)
    history = model.fit(inputs, labels, batch_size=32, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    assert history["accuracy"][-1] > history["accuracy"][0] + 0.1
    longer = {"source": np.pad(inputs["source"], ((0, 0), (0, 3))), "target": inputs["target"]}
    expected = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(
        model.predict(longer, verbose=0), expected, atol=1e-4
    )  # padding changes nothing


def test_batches_of_replicas_are_filled_up_with_padding() -> None:
    texts = [[5, 6, 7], [8], [9, 10]]
    made = keras.pair_batches(
        texts, texts, special=SpecialTokens(), batch_tokens=512, repeat=False, replicas=2
    )
    (inputs, labels), *more = list(made)
    assert not more
    rows = np.hstack([inputs["source"], inputs["target"], labels])
    assert len(rows) == 4 and sum(not row.any() for row in rows) == 1
