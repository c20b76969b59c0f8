"""Rotary positions that reach further: the rates and the sharpness of transformers' own functions."""

import math
from typing import Any

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from weft.config import RotaryScaling
from weft.nn.positions import Rotary

LENGTH = 300
LLAMA3 = {"rope_type": "llama3", "original_max_position_embeddings": 64, "low_freq_factor": 1.0}
YARN = {"rope_type": "yarn", "original_max_position_embeddings": 64}
CASES: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    ({"rope_type": "default"}, None),
    ({"rope_type": "linear", "factor": 2.5}, {"kind": "linear", "factor": 2.5}),
    (
        {**LLAMA3, "factor": 8.0, "high_freq_factor": 4.0},
        {"kind": "llama3", "factor": 8, "slow": 1, "fast": 4},
    ),
    (
        {**LLAMA3, "factor": 32.0, "high_freq_factor": 6.5},
        {"kind": "llama3", "factor": 32, "slow": 1, "fast": 6.5},
    ),
    (
        {**YARN, "factor": 4.0},
        {"kind": "yarn", "factor": 4, "slow": 1, "fast": 32, "attention": 0.1 * math.log(4) + 1},
    ),
    (
        {**YARN, "factor": 16.0, "beta_fast": 8.0, "beta_slow": 2.0, "attention_factor": 1.5},
        {"kind": "yarn", "factor": 16, "slow": 2, "fast": 8, "attention": 1.5},
    ),
]


@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
@pytest.mark.parametrize("head_width", [8, 64])
@pytest.mark.parametrize(
    ("theirs", "ours"), CASES, ids=lambda case: str(case and sorted(case.values(), key=str))
)
def test_cosines_and_sines_are_transformers(
    theirs: dict[str, Any], ours: dict[str, Any] | None, head_width: int, base: float
) -> None:
    config = LlamaConfig(
        hidden_size=2 * head_width,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        rope_parameters={**theirs, "rope_theta": base},
    )
    reference = LlamaRotaryEmbedding(config)
    angles = torch.arange(LENGTH, dtype=torch.float64)[:, None] * reference.inv_freq.double()
    scaling = None if ours is None else RotaryScaling.model_validate({"original_length": 64, **ours})
    rotary = Rotary(head_width, max_length=LENGTH, base=base, scaling=scaling)
    half = head_width // 2
    sharper = reference.attention_scaling
    for place in (slice(half), slice(half, None)):
        torch.testing.assert_close(
            rotary.cosines[:, place], (angles.cos() * sharper).float(), atol=5e-5, rtol=0
        )
    torch.testing.assert_close(rotary.sines[:, half:], (angles.sin() * sharper).float(), atol=5e-5, rtol=0)
    torch.testing.assert_close(rotary.sines[:, :half], -(angles.sin() * sharper).float(), atol=5e-5, rtol=0)


def test_the_cases_differ() -> None:
    tables = []
    for _, ours in CASES:
        scaling = None if ours is None else RotaryScaling.model_validate({"original_length": 64, **ours})
        tables.append(Rotary(64, max_length=LENGTH, scaling=scaling).cosines)
    for number, table in enumerate(tables):
        assert all(float((table - other).abs().max()) > 0.1 for other in tables[:number])
