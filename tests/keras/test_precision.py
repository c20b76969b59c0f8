"""A dtype reaches all that a layer is made of, and models train in mixed precision and compiled by XLA."""

import os
from typing import Any

import numpy as np
import pytest

from weft.config import ModelConfig

pytest.importorskip("tensorflow")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras_itself = pytest.importorskip("keras")
keras = pytest.importorskip("weft.keras")

MIXED = "mixed_bfloat16"
BASE: dict[str, Any] = {"vocabulary": 20, "width": 32, "heads": 4, "feed_forward": 48, "max_length": 16}
FULL: dict[str, Any] = {
    "num_heads": 4,
    "key_dim": 8,
    "feed_forward": 48,
    "norm": "rms",
    "query_key_norm": True,
    "gated": True,
    "dropout": 0.1,
    "embedding_norm": True,
}


def policies(layer: Any) -> set[str]:
    """The dtypes of a layer and of all in it; those of positions, which take that of their input, apart."""
    layers = layer._flatten_layers()
    return {each.dtype_policy.name for each in layers if not isinstance(each, keras.Positions)}


@pytest.mark.parametrize(
    "position", [keras.LearnedPositions(32, 16), keras.Rotary(8, 16)], ids=["learned", "rotary"]
)
def test_a_dtype_reaches_every_layer_of_a_stack(position: Any) -> None:
    stacks = (
        keras.TransformerEncoder(2, position=position, dtype=MIXED, **FULL),
        keras.TransformerDecoder(2, position=position, dtype=MIXED, **FULL),
    )
    x = np.random.default_rng(0).normal(size=(2, 5, 32)).astype("float32")
    for stack in (*stacks, *(type(each).from_config(each.get_config()) for each in stacks)):
        memory = () if isinstance(stack, keras.TransformerEncoder) else (x,)
        assert stack(x, *memory).dtype == "bfloat16"
        assert policies(stack) == {MIXED}
        assert {each.dtype for each in stack.trainable_variables} == {"float32"}


@pytest.mark.parametrize(
    ("layers", "heads"),
    [
        ({"architecture": "seq2seq", "encoder_layers": 1, "decoder_layers": 1}, {}),
        ({"architecture": "decoder", "decoder_layers": 1, "tie": "none"}, {}),
        (
            {"architecture": "encoder", "encoder_layers": 1, "segments": 2},
            {"heads": ("masked", "pooler", "classify"), "labels": 3},
        ),
    ],
    ids=["seq2seq", "decoder", "encoder"],
)
def test_a_dtype_reaches_every_layer_of_a_model(layers: dict[str, Any], heads: dict[str, Any]) -> None:
    model = keras.make_model(ModelConfig(**BASE, **layers), dtype=MIXED, **heads)
    again = type(model).from_config(model.get_config())
    assert policies(model) == policies(again) == {MIXED}


def copies(count: int) -> tuple[dict[str, Any], Any]:
    """Rows of one length, and their copies: what a model is given, and what it is to say."""
    texts = np.random.default_rng(0).integers(4, 20, size=(count, 6)).astype("int32")
    start, end = np.full((count, 1), 1, "int32"), np.full((count, 1), 2, "int32")
    inputs = {"source": np.hstack([texts, end]), "target": np.hstack([start, texts])}
    return inputs, np.hstack([texts, end])


def losses(policy: str = "float32", *, jit: bool) -> list[float]:
    """Those of some epochs of a model that learns to copy."""
    keras_itself.utils.set_random_seed(0)
    before = keras_itself.config.dtype_policy()
    keras_itself.config.set_dtype_policy(policy)
    try:
        model = keras.make_model(
            ModelConfig(**BASE, architecture="seq2seq", encoder_layers=1, decoder_layers=1, position="rotary")
        )
    finally:
        keras_itself.config.set_dtype_policy(before)
    model.compile(keras_itself.optimizers.AdamW(3e-3), loss=keras.CrossEntropy(pad=0), jit_compile=jit)
    inputs, labels = copies(64)
    found: list[float] = model.fit(
        inputs, labels, batch_size=32, epochs=10, shuffle=False, verbose=0
    ).history["loss"]
    return found


@pytest.mark.slow
def test_under_a_policy_of_mixed_precision_a_model_learns_as_well() -> None:
    exact, mixed = losses(jit=False), losses(MIXED, jit=False)
    assert exact[-1] < 0.8 * exact[0]
    np.testing.assert_allclose(mixed, exact, rtol=0.03)
    assert mixed != exact


def test_compiled_by_xla_a_model_learns_the_same() -> None:
    np.testing.assert_allclose(losses(jit=True), losses(jit=False), rtol=1e-3)
