"""The precision that a model is used in: by rule, or as asked."""

import pytest
import torch

from weft.config import ModelConfig
from weft.models.seq2seq import Seq2Seq
from weft.nn import inference
from weft.nn.inference import INT8_WIDTH, choose_precision, convert
from weft.nn.int8 import Int8Linear

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_on_a_processor_wide_models_are_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "has_int8", lambda: True)
    assert choose_precision("auto", width=INT8_WIDTH, device=CPU) == "int8"
    assert choose_precision("auto", width=INT8_WIDTH - 64, device=CPU) == "float32"
    monkeypatch.setattr(inference, "has_int8", lambda: False)
    assert choose_precision("auto", width=512, device=CPU) == "float32"


def test_on_a_gpu_bfloat16_where_it_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for dtype in ("bfloat16", "float32"):
        monkeypatch.setattr(inference, "fast_dtype", lambda _, dtype=dtype: getattr(torch, dtype))
        assert choose_precision("auto", width=512, device=CUDA) == dtype
    assert choose_precision("auto", width=512, device=torch.device("mps")) == "float32"


@pytest.mark.parametrize("wanted", ["float32", "bfloat16", "int8"])
def test_what_is_asked_for_is_what_comes(wanted: str) -> None:
    assert choose_precision(wanted, width=64, device=CPU) == wanted


@pytest.mark.skipif(not inference.has_int8(), reason="needs an x86 processor")
def test_converted() -> None:
    shape = {"width": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 1, "decoder_layers": 1}
    model = Seq2Seq(ModelConfig.model_validate(shape | {"vocabulary": 20, "position": "rotary"}))
    assert convert(model, "float32") is model
    assert any(isinstance(module, Int8Linear) for module in convert(model, "int8").modules())
    half = convert(model, "bfloat16")
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}
    assert {table.dtype for table in half.buffers()} == {torch.float32}
