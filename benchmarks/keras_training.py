"""Training tokens a second in TensorFlow at one shape: weft.keras and keras-hub's own Transformer layers, in turn."""

import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import weft_model
from benchmarks.huggingface import Shape
from benchmarks.multi30k import END, PAD, START, token_pairs
from benchmarks.report import Options, Row
from weft.errors import UserError

__all__ = ["keras_hub_model", "run"]

SHAPE = Shape(8000, width=256, feed_forward=1024, heads=4, encoder_layers=3, decoder_layers=3)
DROPOUT, RATE = 0.1, 1e-4
ROWS, LENGTH = 64, 16  # of a batch: of one shape, since XLA compiles each anew
PEER = "its TransformerEncoder and TransformerDecoder, norms first, one tied table, sines"
STEPS, ROUNDS = 8, 5  # in a call of fit, and how often each side is called


def run(options: Options) -> list[Row]:
    """Compiled by TensorFlow alone, and by XLA: tokens a second of `fit`, padding left out, the median over rounds."""
    try:
        import weft.keras as ours
    except UserError as error:
        raise UserError(f"keras_training needs TensorFlow: {error}") from error
    inputs, labels, text = batches(options.data, count=STEPS * ROWS)
    tokens = int((inputs["source"] != PAD).sum() + (labels != PAD).sum())
    versions = ", ".join(f"{name} {version(name)}" for name in ("keras-hub", "keras", "tensorflow"))
    rows = []
    for jit in (False, True):
        sides = {
            "weft": ours.make_model(weft_model.config(SHAPE, dropout=DROPOUT)),
            "keras-hub": keras_hub_model(SHAPE, dropout=DROPOUT),
        }
        for model in sides.values():
            compiled(model, jit=jit)
        rates = timed(sides, inputs, labels, tokens=tokens)
        how = "by XLA, jit_compile=True" if jit else "without XLA, jit_compile=False"
        rows.append(
            Row(
                benchmark="keras_training",
                what=f"compile and fit, {'XLA' if jit else 'no XLA'}",
                work=f"{SHAPE}, dropout {DROPOUT}, {ROWS} rows of up to {LENGTH} + {LENGTH} tokens of {text}",
                unit="tokens/s",
                weft=median(rates["weft"]),
                weft_settings=f"weft.keras, its medium preset's design, AdamW, float32, {how}",
                peer="keras-hub",
                peer_value=median(rates["keras-hub"]),
                peer_settings=f"{PEER}, AdamW, float32, {how}; {versions}",
            )
        )
    return rows


def batches(data: Path | None, *, count: int) -> tuple[dict[str, NDArray[np.int32]], NDArray[np.int32], str]:
    """What a model is given and what it is to say, (N, LENGTH) each; of Multi30k or, where there is none, random."""
    if data is None:
        draw = np.random.default_rng(0)
        lengths = draw.integers(LENGTH // 2, LENGTH, size=(count, 2))
        pairs = [
            tuple([*draw.integers(4, SHAPE.vocabulary, size=each).tolist(), END] for each in two)
            for two in lengths
        ]
    else:
        found = token_pairs(data / "multi30k", size=SHAPE.vocabulary)
        pairs = [pair for pair in found if max(map(len, pair)) <= LENGTH][:count]
    source, labels, target = (np.full((count, LENGTH), PAD, np.int32) for _ in range(3))
    for row, (read, written) in enumerate(pairs):
        source[row, : len(read)], labels[row, : len(written)] = read, written
        target[row, : len(written)] = [START, *written[:-1]]
    text = "random ids" if data is None else f"Multi30k de-en, joint BPE {SHAPE.vocabulary}"
    return {"source": source, "target": target}, labels, text


def keras_hub_model(shape: Shape, *, dropout: float) -> Any:
    """The same arithmetic of keras-hub's layers: norms first, as in weft's designs, and one table for all."""
    import keras

    try:
        import keras_hub
    except ImportError as error:
        raise UserError("keras_training needs its peer: pip install keras-hub") from error

    layers = keras_hub.layers
    block = {
        "intermediate_dim": shape.feed_forward,
        "num_heads": shape.heads,
        "dropout": dropout,
        "activation": "relu",
        "normalize_first": True,
    }
    source, target = (keras.Input((None,), dtype="int32", name=name) for name in ("source", "target"))
    table = layers.ReversibleEmbedding(shape.vocabulary, shape.width, mask_zero=False)

    def embedded(ids: Any) -> Any:
        x = table(ids)
        return keras.layers.Dropout(dropout)(x + layers.SinePositionEncoding()(x))

    real = keras.ops.not_equal(source, PAD)
    memory, states = embedded(source), embedded(target)
    for _ in range(shape.encoder_layers):
        memory = layers.TransformerEncoder(**block)(memory, padding_mask=real)
    memory = keras.layers.LayerNormalization()(memory)
    for _ in range(shape.decoder_layers):
        states = layers.TransformerDecoder(**block)(states, memory, encoder_padding_mask=real)
    states = keras.layers.LayerNormalization()(states)
    return keras.Model({"source": source, "target": target}, table(states, reverse=True))


def compiled(model: Any, *, jit: bool) -> None:
    """Both sides learn the same from the same labels."""
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=PAD)
    model.compile(keras.optimizers.AdamW(RATE), loss=loss, jit_compile=jit)


def timed(
    sides: dict[str, Any], inputs: dict[str, NDArray[np.int32]], labels: NDArray[np.int32], *, tokens: int
) -> dict[str, list[float]]:
    """Tokens a second of each side, called in turn; the first call, in which it is compiled, is not counted."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(ROUNDS + 1):
        for name, model in sides.items():
            start = time.perf_counter()
            model.fit(inputs, labels, batch_size=ROWS, epochs=1, shuffle=False, verbose=0)
            if number:
                rates[name].append(tokens / (time.perf_counter() - start))
    return rates
