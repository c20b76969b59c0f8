"""Packed linear layers: the same bfloat16 product, however many rows there are, and in whole models."""

import pytest
import torch
from torch import nn

from weft.config import ModelConfig
from weft.generate.config import SearchConfig
from weft.generate.prompts import continue_prompts
from weft.models.decoder import Decoder
from weft.nn.inference import convert
from weft.nn.linears import PackedLinear, can_pack

pytestmark = pytest.mark.skipif(not can_pack(nn.Linear(1, 1)), reason="needs a processor with bfloat16")


@pytest.mark.parametrize("bias", [True, False])
@torch.inference_mode()
def test_the_product_is_that_of_the_rounded_weights(bias: bool) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(37, 50, bias=bias)
    x = torch.randn(3, 5, 37).bfloat16()
    exact = x.double() @ plain.weight.bfloat16().double().T
    if bias:
        exact += plain.bias.bfloat16().double()
    torch.testing.assert_close(PackedLinear(plain)(x).double(), exact, rtol=2**-8, atol=1e-3)


@torch.inference_mode()
def test_a_row_does_not_depend_on_its_neighbours() -> None:
    torch.manual_seed(0)
    packed, x = PackedLinear(nn.Linear(256, 512)), torch.randn(40, 256).bfloat16()
    whole = packed(x)
    for count in (1, 2, 7, 33):
        assert torch.equal(packed(x[:count]), whole[:count])


@torch.inference_mode()
def test_several_layers_give_their_outputs_one_after_the_other() -> None:
    torch.manual_seed(0)
    layers, x = [nn.Linear(16, 32), nn.Linear(16, 8)], torch.randn(4, 16).bfloat16()
    apart = torch.cat([PackedLinear(layer)(x) for layer in layers], dim=-1)
    assert torch.equal(PackedLinear(*layers)(x), apart)


@pytest.mark.parametrize(
    "fields", [{}, {"kv_heads": 2, "query_key_norm": True, "position": "rotary"}], ids=str
)
def test_a_model_keeps_its_scores(fields: dict[str, object]) -> None:
    torch.manual_seed(0)
    shape = {
        "architecture": "decoder",
        "width": 64,
        "heads": 4,
        "decoder_layers": 2,
        "feed_forward": 128,
        "vocabulary": 50,
    }
    model = Decoder(ModelConfig.model_validate(shape | fields)).eval()
    ids = torch.randint(4, 50, (2, 12))
    with torch.inference_mode():
        exact = model.logits(model(ids))
        half = convert(model, "bfloat16")
        assert any(isinstance(module, PackedLinear) for module in half.modules())
        assert not any(isinstance(module, nn.Linear) for module in half.modules())
        found = half.logits(half(ids))
    assert found.dtype == torch.bfloat16
    assert float((found.float() - exact).norm() / exact.norm()) < 0.03
    written = continue_prompts(half, [[5, 6, 7]], SearchConfig(max_length=8, min_length=8))
    assert len(written[0][0].tokens) == 8
