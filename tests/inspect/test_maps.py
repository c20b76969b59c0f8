"""Attention weights by taps: whole, right, and taken without disturbing the model."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weft.config import ModelConfig
from weft.inspect.maps import AttentionMaps, attention
from weft.models.seq2seq import Seq2Seq
from weft.nn import Attention, listen
from weft.nn.kernels import choose_kernel
from weft.text.alignment import alignment

SOURCE = [5, 9, 4, 11, 2]
TARGET = [7, 8, 10, 2]


def make_model(**fields: object) -> Seq2Seq:
    """Small, random, and with queries and keys large enough to make uneven weights."""
    torch.manual_seed(3)
    shape: dict[str, object] = {
        "vocabulary": 20,
        "width": 16,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "heads": 4,
    }
    model = Seq2Seq(ModelConfig.model_validate(shape | {"feed_forward": 24} | fields))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if ".query." in name or ".key." in name:
                weight.mul_(4)
    return model.eval()


def by_hand(attention: Attention, x: Tensor, memory: Tensor, *, causal: bool) -> np.ndarray:
    """softmax(q kᵀ / √K), a head and a row at a time."""
    q, k = attention.query(x)[0], attention.key(memory)[0]
    width = q.shape[-1] // attention.heads
    weights = np.zeros((attention.heads, len(q), len(k)))
    for head in range(attention.heads):
        part = slice(head * width, (head + 1) * width)
        for row in range(len(q)):
            seen = row + 1 if causal else len(k)
            scores = (k[:seen, part] @ q[row, part] / width**0.5).numpy().astype(np.float64)
            weights[head, row, :seen] = np.exp(scores) / np.exp(scores).sum()
    return weights


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kv_heads": 2, "position": "rotary", "query_key_norm": True},
        {"position": "t5", "norm_place": "after"},
        {"pointer": True},
    ],
)
def test_rows_sum_to_one_and_the_decoder_sees_no_future(fields: dict[str, object]) -> None:
    maps = attention(make_model(**fields), SOURCE, target_ids=TARGET)
    parts = [part for part in maps if part is not None]
    copied = [(1, 1, 4, 5)] if fields.get("pointer") else []
    assert [part.shape for part in parts] == [(2, 4, 5, 5), (3, 4, 4, 4), (3, 4, 4, 5), *copied]
    for part in parts:
        assert part.dtype == np.float32
        np.testing.assert_allclose(part.sum(-1), 1, atol=1e-6)
    assert (maps.decoder[..., *np.triu_indices(4, k=1)] == 0).all()
    assert np.ptp(maps.cross) > 0.3  # the weights say something


@torch.inference_mode()
def test_weights_are_those_computed_by_hand() -> None:
    model = make_model()
    inputs: dict[Attention, tuple[Tensor, ...]] = {}
    for module in model.modules():
        if isinstance(module, Attention):
            module.register_forward_pre_hook(lambda module, given: inputs.update({module: given}))
    maps = attention(model, SOURCE, target_ids=TARGET)

    def expected(stack: nn.Module, name: str, *, causal: bool = False) -> np.ndarray:
        bricks = [getattr(block, name) for block in stack.blocks]
        return np.stack(
            [by_hand(brick, inputs[brick][0], inputs[brick][-1], causal=causal) for brick in bricks]
        )

    np.testing.assert_allclose(maps.encoder, expected(model.encoder, "attention"), atol=1e-6)
    np.testing.assert_allclose(maps.decoder, expected(model.decoder, "attention", causal=True), atol=1e-6)
    np.testing.assert_allclose(maps.cross, expected(model.decoder, "cross"), atol=1e-6)


@torch.inference_mode()
def test_listening_changes_no_bit_of_the_output() -> None:
    model, source, read = make_model(), torch.tensor([SOURCE]), torch.tensor([[1, *TARGET[:-1]]])
    assert choose_kernel(torch.empty(1, 2, 4, 8), keys=5, causal=False, weights_wanted=False) == "plain"
    alone = model(source, read)
    with listen(model) as heard:
        overheard = model(source, read)
    assert len(heard) == 2 + 3 + 3
    assert torch.equal(alone, overheard)


@torch.inference_mode()
def test_taken_from_a_model_that_otherwise_runs_a_kernel_without_weights() -> None:
    model, ids = make_model(), torch.arange(150).remainder(17).add(3).tolist()
    assert choose_kernel(torch.empty(1, 2, 150, 8), keys=150, causal=False, weights_wanted=False) == "sdpa"
    maps = attention(model, ids, target_ids=ids)
    np.testing.assert_allclose(maps.encoder.sum(-1), 1, atol=1e-5)
    with listen(model):
        overheard = model(torch.tensor([ids]), torch.tensor([ids]))
    torch.testing.assert_close(
        model(torch.tensor([ids]), torch.tensor([ids])), overheard, atol=1e-3, rtol=0.0
    )


def test_row_t_is_the_step_that_writes_token_t() -> None:
    model = make_model()
    before = attention(model, SOURCE, target_ids=TARGET)
    after = attention(model, SOURCE, target_ids=[*TARGET[:1], 15, *TARGET[2:]])
    for part in ("decoder", "cross"):
        earlier, later = getattr(before, part), getattr(after, part)
        np.testing.assert_array_equal(
            earlier[:, :, :2], later[:, :, :2]
        )  # token 1 is not read before it is written
        assert (earlier[:, :, 2] != later[:, :, 2]).any()
    other_last = attention(model, SOURCE, target_ids=[*TARGET[:-1], 19])
    np.testing.assert_array_equal(before.cross, other_last.cross)  # the last token is never read


def test_dropout_is_off_and_the_training_mode_is_left_as_it_was() -> None:
    model = make_model(dropout=0.5, attention_dropout=0.5)
    still = attention(model, SOURCE, target_ids=TARGET)
    model.train()
    model.encoder.eval()
    modes = [module.training for module in model.modules()]
    np.testing.assert_array_equal(attention(model, SOURCE, target_ids=TARGET).cross, still.cross)
    assert [module.training for module in model.modules()] == modes


def test_half_precision_weights_come_as_float32() -> None:
    maps = attention(make_model().bfloat16(), SOURCE, target_ids=TARGET)
    assert maps.cross.dtype == np.float32
    np.testing.assert_allclose(maps.cross.sum(-1), 1, atol=0.02)


@pytest.mark.parametrize(("source", "target"), [([], TARGET), (SOURCE, [])])
def test_nothing_to_look_at_is_an_error(source: list[int], target: list[int]) -> None:
    with pytest.raises(ValueError, match="nothing to look at"):
        attention(make_model(), source, target_ids=target)


def test_alignment_averages_the_upper_half_of_the_layers() -> None:
    layers = np.zeros((4, 2, 1, 3))
    layers[0, :, 0] = layers[1, :, 0] = [1, 0, 0]  # the lower half has no voice
    layers[2, :, 0] = [[0.0, 0.9, 0.1], [0.0, 0.3, 0.7]]
    layers[3, :, 0] = [[0.3, 0.0, 0.7], [0.3, 0.3, 0.4]]
    assert layers[2:].mean((0, 1))[0].argmax() == 2
    assert alignment(layers) == [(2, 0)]
    assert alignment(layers[:3]) == [(0, 0)]  # of three layers the upper two: the last alone says 1
    assert alignment(layers[:1]) == [(0, 0)]
    assert alignment(layers, ignore=[2]) == [(1, 0)]
    assert alignment(layers, ignore=range(3)) == []


def test_alignment_has_one_source_token_for_each_target_token() -> None:
    maps: AttentionMaps = attention(make_model(), SOURCE, target_ids=TARGET)
    pairs = alignment(maps.cross, ignore=[4])
    assert [target for _, target in pairs] == [0, 1, 2, 3]
    assert all(source in range(4) and isinstance(source, int) for source, _ in pairs)
