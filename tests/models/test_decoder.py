"""The decoder: what may see what, the cache, and the shapes that families ask for."""

from typing import Any

import pytest
import torch
from torch import Tensor

from weft.config import GeneratorConfig, ModelConfig, TrainConfig
from weft.models.decoder import Decoder
from weft.nn import listen
from weft.nn.inference import convert
from weft.nn.masks import Mask
from weft.recipes import PRESETS
from weft.saved import make_model
from weft.training.optimizers import make_optimizers

SMALL = {
    "architecture": "decoder",
    "vocabulary": 40,
    "width": 16,
    "decoder_layers": 3,
    "heads": 4,
    "feed_forward": 32,
    "position": "rotary",
    "max_length": 32,
    "tie": "none",
}
SCHEMES: list[dict[str, Any]] = [
    {},
    {"position": "learned", "position_offset": 2},
    {"position": "sinusoidal"},
    {"position": "alibi"},
    {"position": "t5"},
    {"position": "none"},
    {"kv_heads": 2, "head_size": 6, "query_key_norm": True},
    {"window": 3, "global_every": 0},
    {"window": 3, "global_every": 2},
    {"rotary_base": 500.0, "rotary_scaling": {"kind": "yarn", "factor": 4, "original_length": 8}},
    {"norm_place": "after", "bias": False, "query_key_value_bias": True},
    {"ngrams": {"longest": 4, "rows": 50}},
]


def decoder(**fields: Any) -> Decoder:
    torch.manual_seed(0)
    model = Decoder(ModelConfig.model_validate(SMALL | fields)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or name.startswith("ngrams"):
                weight.normal_(std=0.3)
    return model


def ids(rows: int, length: int) -> Tensor:
    return torch.randint(4, 40, (rows, length), generator=torch.Generator().manual_seed(rows * 100 + length))


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_what_comes_later_changes_nothing_before_it(scheme: dict[str, Any]) -> None:
    model, tokens = decoder(**scheme), ids(2, 12)
    other = tokens.clone()
    other[:, 7:] = ids(2, 5)
    states, changed = model(tokens), model(other)
    assert torch.equal(states[:, :7], changed[:, :7])
    assert not torch.isclose(states[:, 7:], changed[:, 7:]).all(-1).any()


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_with_a_cache_it_is_the_same(scheme: dict[str, Any]) -> None:
    model, tokens = decoder(**scheme), ids(3, 14)
    whole = model(tokens)
    cache = model.new_cache(14)
    parts = [model(part, cache=cache) for part in tokens.split([5, 1, 1, 1, 4, 2], dim=1)]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, atol=1e-5, rtol=1e-5)
    assert cache.length == 14


@pytest.mark.parametrize("scheme", [each for each in SCHEMES if each.get("position") != "none"], ids=str)
def test_packed_texts_are_the_same_as_alone(scheme: dict[str, Any]) -> None:
    model, first, second = decoder(**scheme), ids(1, 5), ids(1, 8)
    states = model(
        torch.cat([first, second], dim=1),
        mask=Mask(causal=True, segments=torch.tensor([[1] * 5 + [2] * 8])),
        positions=torch.tensor([[*range(5), *range(8)]]),
    )
    torch.testing.assert_close(states[:, :5], model(first), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(states[:, 5:], model(second), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("every", "expected"), [(0, [False] * 3), (1, [True] * 3), (2, [True, False, True])], ids=str
)
def test_a_window_hides_what_is_far_but_for_every_so_many_layers(every: int, expected: list[bool]) -> None:
    model = decoder(window=3, global_every=every)
    with listen(model) as heard:
        model(ids(1, 10))
    weights = [heard[f"decoder.blocks.{layer}.attention.weights"][0][0] for layer in range(3)]
    distance = torch.arange(10)[:, None] - torch.arange(10)
    assert [bool(each[:, distance >= 3].any()) for each in weights] == expected
    assert all(bool((each[:, (distance >= 0) & (distance < 3)] > 0).all()) for each in weights)


def test_heads_may_be_of_a_width_of_their_own() -> None:
    attention = decoder(head_size=10, kv_heads=2).decoder.blocks[0].attention
    shapes = {name: tuple(getattr(attention, name).weight.shape) for name in ("query", "key", "value")}
    assert shapes == {"query": (40, 16), "key": (20, 16), "value": (20, 16)}
    assert tuple(attention.output.weight.shape) == (16, 40)


@pytest.mark.parametrize(
    ("fields", "inner", "outer"),
    [
        ({"bias": True}, True, True),
        ({"bias": False}, False, False),
        ({"bias": False, "query_key_value_bias": True}, True, False),
        ({"bias": True, "query_key_value_bias": False}, False, True),
    ],
    ids=str,
)
def test_queries_keys_and_values_may_have_biases_of_their_own(
    fields: dict[str, Any], inner: bool, outer: bool
) -> None:
    block = decoder(**fields).decoder.blocks[0]
    attention = block.attention
    biased = [getattr(attention, name).bias is not None for name in ("query", "key", "value", "output")]
    assert biased == [inner, inner, inner, outer]
    names = [name for name, _ in block.feed_forward.named_parameters()]
    assert any(name.endswith("bias") for name in names) == outer


def test_base_and_scaling_change_the_states() -> None:
    tokens = ids(1, 20)
    kinds = [{"kind": kind, "factor": 4, "original_length": 8} for kind in ("linear", "llama3", "yarn")]
    sharper = {**kinds[2], "attention": 1.5}
    fields = [{}, {"rotary_base": 100.0}, *({"rotary_scaling": scaling} for scaling in [*kinds, sharper])]
    states = [decoder(**each)(tokens) for each in fields]
    for number, state in enumerate(states):
        assert all(not torch.allclose(state, other, atol=1e-4) for other in states[:number])


def test_states_are_as_wide_as_the_model_and_logits_as_the_vocabulary() -> None:
    model = decoder(output_bias=True)
    states = model(ids(2, 5))
    assert states.shape == (2, 5, 16)
    logits = model.logits(states[:, -1])
    torch.testing.assert_close(logits, states[:, -1] @ model.output.weight.T + model.output.bias)
    assert model.logits(states).shape == (2, 5, 40)


def test_the_output_is_the_embedding_where_they_are_tied() -> None:
    for tie, tied in (("none", False), ("two", True), ("three", True)):
        model = decoder(tie=tie)
        assert (model.output.weight is model.embedding.tokens.weight) == tied


def test_more_tokens_than_the_model_takes_are_refused() -> None:
    with pytest.raises(IndexError, match="position 32: the last one that the model takes is 31"):
        decoder()(ids(1, 33))


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_narrower_numbers_give_nearly_the_same(precision: str) -> None:
    shape = {"width": 64, "kv_heads": 2, "query_key_norm": True, "head_size": 32, "feed_forward": 128}
    tokens = ids(2, 9)
    plain, model = decoder(**shape), convert(decoder(**shape), precision)
    with torch.inference_mode():
        expected = plain.logits(plain(tokens))
        found = model.logits(model(tokens)).float()
    assert float((found - expected).abs().max()) < 0.1 * float(expected.abs().max())
    assert not torch.equal(found, expected)


def test_what_lies_deeper_learns_slower_and_muon_takes_the_blocks_alone() -> None:
    model = decoder()
    (adamw,) = make_optimizers(model, TrainConfig(optimizer="adamw", layer_decay=0.5)).values()
    scales = {id(p): group["scale"] for group in adamw.param_groups for p in group["params"]}
    named = dict(model.named_parameters())
    assert len(scales) == len(named)
    assert scales[id(named["output.weight"])] == 1.0
    assert scales[id(named["decoder.blocks.2.attention.key.weight"])] == 0.5
    assert scales[id(named["embedding.tokens.weight"])] == 0.5**4
    muon = make_optimizers(model, TrainConfig())["muon"]
    taken = {id(p) for group in muon.param_groups for p in group["params"]}
    assert taken == {id(p) for name, p in named.items() if ".blocks." in name and p.dim() == 2}


@pytest.mark.parametrize("name", PRESETS["decoder"])
def test_every_preset_is_a_decoder(name: str) -> None:
    config = ModelConfig(**{"vocabulary": 267_735, **PRESETS["decoder"][name]["model"]})
    assert config.kin == "decoder"
    with torch.device("meta"):
        model = make_model(GeneratorConfig(model=config))
    blocks = model.decoder.blocks if isinstance(model, Decoder) else model.blocks
    assert len(blocks) == config.decoder_layers


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"encoder_layers": 1}, "encoder_layers 1 do not suit the architecture decoder"),
        ({"decoder_layers": 0}, "decoder_layers 0 do not suit"),
        ({"head_size": 5}, "rotary positions need an even head width, not 5"),
        ({"heads": 3}, "width 16 is not a multiple of heads 3"),
        ({"rotary_scaling": {"kind": "llama3", "factor": 2, "original_length": 8, "fast": 1}}, "fast 1 is"),
        ({"rotary_scaling": {"kind": "ntk", "factor": 2, "original_length": 8}}, "kind"),
    ],
    ids=str,
)
def test_shapes_that_cannot_be(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ModelConfig.model_validate(SMALL | fields)
