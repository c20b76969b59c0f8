"""Texts of many lengths in one pass: each gets what it gets alone."""

from typing import Any

import numpy as np
import pytest
import torch

from weft import network
from weft.config import ModelConfig
from weft.models.encoder import Encoder
from weft.nn.masks import Mask
from weft.tasks import reading
from weft.tasks.reading import read_alone

SHAPE: dict[str, Any] = {
    "architecture": "encoder",
    "vocabulary": 50,
    "width": 32,
    "heads": 4,
    "feed_forward": 48,
    "encoder_layers": 3,
    "max_length": 80,
    "tie": "two",
}
KINDS: dict[str, dict[str, Any]] = {
    "BERT": {"position": "learned", "norm_place": "after", "segments": 2, "embedding_norm": True},
    "weft": {"position": "rotary", "norm": "rms", "window": 5, "bias": False, "query_key_norm": True},
    "ALiBi": {"position": "alibi", "kv_heads": 2},
}


def texts(lengths: list[int]) -> tuple[list[list[int]], list[list[int]]]:
    """Tokens, and segments of which the second half is 1."""
    random = np.random.default_rng(0)
    ids = [random.integers(5, 50, length).tolist() for length in lengths]
    return ids, [[0] * (length // 2) + [1] * (length - length // 2) for length in lengths]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("tokens", [16, 100, 1024])
@torch.inference_mode()
def test_each_text_gets_what_it_gets_alone(kind: str, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "READ_TOKENS", tokens)
    torch.manual_seed(0)
    model = Encoder(ModelConfig(**SHAPE, **KINDS[kind])).eval()
    lengths = [9, 3, 70, 9, 21, 1, 9, 2, 70, 33]
    ids, segments = texts(lengths)
    read: dict[int, torch.Tensor] = {}
    longest = 100
    for rows, states in read_alone(model, ids, segments):
        assert len({lengths[row] for row in rows}) == 1
        assert lengths[rows[0]] <= longest
        longest = lengths[rows[0]]
        read |= zip(rows.tolist(), states, strict=True)
    assert sorted(read) == list(range(len(lengths)))
    for number, found in read.items():
        ((_, alone),) = read_alone(model, [ids[number]], [segments[number]])
        assert torch.equal(found, alone[0])
        side = torch.tensor([segments[number]]) if "segments" in KINDS[kind] else None
        plain = model(torch.tensor([ids[number]]), segments=side, mask=Mask())
        assert torch.allclose(found, plain[0], atol=1e-5)


def test_a_text_longer_than_a_pass_is_read_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [chunk.tolist() for chunk in network.by_length([5, 60, 10, 10, 20], tokens=20)]
    assert chunks == [[1], [4], [2, 3], [0]]
    assert list(network.by_length([], tokens=20)) == []
