"""The paper's presets have the paper's sizes."""

from typing import Any

import pytest
import torch

from weft.config import ModelConfig
from weft.families.vaswani import PRESETS
from weft.models.seq2seq import Seq2Seq

MILLION = 1_000_000


def parameters(preset: str, **changes: Any) -> int:
    """Counted by torch on the model itself, of which nothing is allocated."""
    with torch.device("meta"):
        model = Seq2Seq(ModelConfig(**{**PRESETS[preset].fields, **changes}))
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("preset", "count", "papers"), [("vaswani-base", 63_082_496, 65), ("vaswani-big", 214_245_376, 213)]
)
def test_sizes_at_the_papers_vocabulary(preset: str, count: int, papers: int) -> None:
    """Section 5.1 tells "about 37000 tokens"; no one vocabulary gives both of the sizes in table 3."""
    assert parameters(preset, vocabulary=37_000) == count
    assert count == pytest.approx(papers * MILLION, rel=0.03)


@pytest.mark.parametrize(
    ("changes", "papers"),
    [
        ({}, 65),
        ({"encoder_layers": 2, "decoder_layers": 2}, 36),
        ({"encoder_layers": 4, "decoder_layers": 4}, 50),
        ({"encoder_layers": 8, "decoder_layers": 8}, 80),
        ({"width": 256}, 28),
        ({"width": 1024}, 168),
        ({"feed_forward": 1024}, 53),
        ({"feed_forward": 4096}, 90),
    ],
)
def test_the_base_model_and_its_variations_in_table_3(changes: dict[str, int], papers: int) -> None:
    """Rows (C) all come out to the million at the 41,000 tokens that the base model's 65 million imply."""
    assert round(parameters("vaswani-base", vocabulary=41_000, **changes) / MILLION) == papers


def test_the_big_model_in_table_3() -> None:
    """213 million imply 36,000 tokens."""
    assert round(parameters("vaswani-big", vocabulary=36_000) / MILLION) == 213


def test_each_preset_names_its_source() -> None:
    assert all("table 3" in preset.source for preset in PRESETS.values())
