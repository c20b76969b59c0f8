"""A sliding window counts each token once, with as much context as it has."""

import pytest
import torch
from torch.nn import functional

from weft.config import ModelConfig
from weft.models.decoder import Decoder
from weft.tasks.perplexity import token_losses

CONFIG = ModelConfig(
    architecture="decoder",
    vocabulary=30,
    width=16,
    heads=2,
    decoder_layers=2,
    feed_forward=32,
    max_length=64,
    position="rotary",
)


@pytest.mark.parametrize("size", [2, 5, 8, 9, 10, 33, 40])
@pytest.mark.parametrize(("length", "stride"), [(8, None), (8, 8), (8, 3), (8, 1), (40, 10)])
@torch.inference_mode()
def test_each_token_counts_once_with_the_context_that_it_has(
    size: int, length: int, stride: int | None
) -> None:
    torch.manual_seed(0)
    model = Decoder(CONFIG).eval()
    ids = torch.randint(4, 30, (size,))
    found = token_losses(model, ids, length=length, stride=stride)
    step = stride or length
    for place in range(size - 1):  # the token after `place`
        window = 0 if place < length else -(-(place - length + 1) // step)
        context = ids[window * step : place + 1]
        assert len(context) <= length
        expected = functional.cross_entropy(model.logits(model(context[None])[:, -1]), ids[place + 1][None])
        assert found[place].item() == pytest.approx(float(expected), abs=1e-5)
