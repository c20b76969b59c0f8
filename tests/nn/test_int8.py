"""Eight bits: near the float product, row by row, and whole models."""

import pytest
import torch
from torch import nn

from weft.config import ModelConfig
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.models.seq2seq import Seq2Seq
from weft.nn.int8 import Int8Linear, quantize
from weft.nn.positions import make_position
from weft.nn.stack import Block


def layer(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    made = nn.Linear(inputs, outputs, bias=bias)
    made.weight.data *= torch.rand(outputs, 1) * 10  # outputs of very different size
    return made


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(64, 64), (512, 100), (37, 8)], ids=str)
def test_the_product_is_that_of_the_rounded_numbers(shape: tuple[int, int], bias: bool) -> None:
    plain = layer(*shape, bias=bias)
    x = torch.randn(2, 9, shape[0]) * torch.tensor([1e-3, 1.0, 1e3]).repeat(3)[:, None]
    scale = plain.weight.detach().abs().amax(1) / 64
    largest = x.abs().amax(-1, keepdim=True)
    with torch.no_grad():
        whole = (x / largest * 127).round().double() @ (plain.weight / scale[:, None]).round().double().T
        expected = whole * scale * largest / 127 + (plain.bias if bias else 0)
        found = Int8Linear(plain)(x)
    assert torch.allclose(found.double(), expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


def test_extreme_numbers_do_not_overflow() -> None:
    plain = nn.Linear(512, 4, bias=False)
    plain.weight.data = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]]).repeat(1, 512)
    with torch.no_grad():
        found = Int8Linear(plain)(torch.tensor([[1.0], [-1.0]]).repeat(1, 512))
    assert found.tolist() == [[512, -512, 512, -512], [-512, 512, -512, 512]]


def test_the_error_is_a_hundredth() -> None:
    plain = layer(512, 512)
    x = torch.randn(64, 512)
    with torch.no_grad():
        exact, found = plain(x) - plain.bias, Int8Linear(plain)(x) - plain.bias
    assert float((found - exact).norm() / exact.norm()) < 0.015


def test_zeros_give_the_bias() -> None:
    plain = layer(16, 8)
    with torch.no_grad():
        assert torch.equal(Int8Linear(plain)(torch.zeros(3, 16)), plain.bias.expand(3, 8))


@pytest.mark.parametrize("fields", [{}, {"kv_heads": 2}, {"query_key_norm": True, "bias": False}], ids=str)
@pytest.mark.parametrize("position", ["rotary", "learned"])
def test_one_product_gives_the_bits_of_three(fields: dict[str, object], position: str) -> None:
    torch.manual_seed(0)
    shape = {"vocabulary": 60, "width": 64, "heads": 4, "feed_forward": 128, "position": position}
    config = ModelConfig.model_validate(shape | {"encoder_layers": 1, "decoder_layers": 1} | fields)
    block = Block(config, cross=False).eval()
    for parameter in block.parameters():
        nn.init.uniform_(parameter)
    one, x = quantize(block).attention, torch.randn(3, 5, 64)
    three = block.attention
    three.query, three.key, three.value, three.output = (
        Int8Linear(each) for each in (three.query, three.key, three.value, three.output)
    )
    options = {"position": make_position(config, causal=True), "positions": slice(2, 7)}
    with torch.no_grad():
        assert torch.equal(one(x, **options), three(x, **options))


def test_no_row_depends_on_its_neighbours() -> None:
    quantized = Int8Linear(layer(96, 200))
    x = torch.randn(64, 96) * torch.rand(64, 1).exp()
    with torch.no_grad():
        expected = quantized(x)
        assert all(torch.equal(quantized(x[:count]), expected[:count]) for count in range(1, 64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_model_in_eight_bits(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        vocabulary=60, width=64, encoder_layers=2, decoder_layers=2, heads=4, feed_forward=128, tie="three"
    )
    model = Seq2Seq(config).eval().to(dtype)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    small = quantize(model)
    assert not any(isinstance(module, nn.Linear) for module in small.modules())
    assert sum(isinstance(module, Int8Linear) for module in small.modules()) == 25  # of 33
    assert small.source_embedding.tokens.weight is model.source_embedding.tokens.weight
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    source, target = torch.randint(3, 60, (3, 7)), torch.randint(3, 60, (3, 5))
    with torch.no_grad():
        exact, found = (each.logits(each(source, target)).float() for each in (model, small))
    assert float((found - exact).norm() / exact.norm()) < 0.1
    assert found.dtype == torch.float32

    search = SearchConfig(beams=3, nbest=3, max_length=8)
    lines = [row.tolist() for row in torch.randint(3, 60, (9, 6))]
    together = generate(small, lines, search)
    assert together == [generate(small, [line], search)[0] for line in lines]
