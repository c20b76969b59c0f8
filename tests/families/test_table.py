"""A table reads the same in both directions, for NumPy's arrays and torch's."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from weft.config import ModelConfig
from weft.errors import UserError
from weft.families.table import (
    Field,
    Op,
    Rule,
    check_shapes,
    check_their_shapes,
    expand,
    only,
    read_fields,
    to_ours,
    to_theirs,
    write_fields,
)
from weft.models.seq2seq import Seq2Seq

RULES = expand(
    [
        Rule("h.{i}.c_fc.{p}", "blocks.{i}.up.{p}"),
        Rule("h.{i}.attn.weight", "blocks.{i}.query.weight", Op.TRANSPOSE),
        Rule("wte.weight", "tokens.weight"),
        Rule("lm_head.weight", "tokens.weight", Op.TIED),
        Rule("bias", "output.bias", Op.ROW),
        Rule("h.{i}.mask", "", Op.COMPUTED),
    ],
    i=range(2),
    p=("weight", "bias"),
)
SHAPES = {Op.SAME: (3, 2), Op.TRANSPOSE: (3, 2), Op.ROW: (1, 4)}


def theirs(make: Callable[[Any], Any]) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    return {rule.theirs: make(draw.normal(size=SHAPES[rule.op])) for rule in RULES if rule.op in SHAPES}


def test_expand_fills_what_a_rule_holds() -> None:
    assert len(RULES) == 4 + 2 + 3 + 2
    assert RULES[1] == Rule("h.0.c_fc.bias", "blocks.0.up.bias")


@pytest.mark.parametrize("make", [np.asarray, torch.tensor], ids=["numpy", "torch"])
def test_there_and_back(make: Callable[[Any], Any]) -> None:
    weights = theirs(make)
    ours = to_ours(RULES, weights)
    assert tuple(ours["blocks.1.query.weight"].shape) == (2, 3)
    assert tuple(ours["output.bias"].shape) == (4,)
    back = to_theirs(RULES, ours)
    assert back.keys() == weights.keys()
    assert all(type(back[name]) is type(weights[name]) for name in weights)
    assert all(bool((back[name] == weights[name]).all()) for name in weights)


def test_a_tied_name_may_stand_for_its_carrier() -> None:
    weights = theirs(np.asarray)
    weights["lm_head.weight"] = weights.pop("wte.weight")
    assert to_ours(RULES, weights)["tokens.weight"] is weights["lm_head.weight"]


def test_what_is_computed_is_not_carried() -> None:
    assert (
        to_ours(RULES, theirs(np.asarray) | {"h.0.mask": np.ones(3)}).keys()
        == to_ours(RULES, theirs(np.asarray)).keys()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wte.weight": None}, "missing weights: wte.weight"),
        ({f"extra.{i}": np.ones(1) for i in range(7)}, "extra.4 and 2 more"),
        ({"lm_head.weight": np.ones((3, 2))}, "lm_head.weight differs from the weight"),
        ({"bias": np.ones((2, 4))}, r"bias has shape \(2, 4\): its first axis must be 1"),
    ],
)
def test_weights_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    weights = {name: value for name, value in (theirs(np.asarray) | change).items() if value is not None}
    with pytest.raises(UserError, match=message):
        to_ours(RULES, weights)


def test_our_weights_that_do_not_fit() -> None:
    ours = to_ours(RULES, theirs(np.asarray))
    with pytest.raises(UserError, match=r"missing weights: tokens\.weight"):
        to_theirs(RULES, {name: value for name, value in ours.items() if name != "tokens.weight"})
    with pytest.raises(UserError, match="other layout does not have: gate"):
        to_theirs(RULES, ours | {"gate": np.ones(1)})


FIELDS = (
    Field("d_model", "width", 8),
    Field("act", "activation", "gelu", {"gelu": "gelu", "silu": "silu", "swish": "silu"}),
    Field("enc_ffn", "feed_forward", 4),
    Field("dec_ffn", "feed_forward", 4),
)


@given(st.fixed_dictionaries({"d_model": st.integers(), "act": st.sampled_from(["gelu", "silu"])}))
def test_fields_there_and_back(settings: dict[str, Any]) -> None:
    ours, problems = read_fields(FIELDS, settings)
    assert not problems
    assert write_fields(FIELDS, ours) == (settings | {"enc_ffn": 4, "dec_ffn": 4}, [])


def test_the_first_spelling_is_written() -> None:
    ours, _ = read_fields(FIELDS, {"act": "swish"})
    assert write_fields(FIELDS, ours)[0]["act"] == "silu"


def test_all_that_stands_in_the_way_is_told() -> None:
    _, problems = read_fields(FIELDS, {"act": ["mish"], "dec_ffn": 5})
    assert problems == ['act = ["mish"] (known: "gelu", "silu", "swish")', "dec_ffn = 5 beside enc_ffn = 4"]
    ours = {"width": 8, "activation": "relu", "feed_forward": 4}
    assert write_fields(FIELDS, ours)[1] == ['activation = "relu"']


def test_only_opens_lists_of_one() -> None:
    assert [only(value) for value in ([3], 3, [1, 2], None)] == [3, 3, [1, 2], None]


@pytest.mark.parametrize("gated", [False, True])
def test_shapes_are_those_of_the_model(gated: bool) -> None:
    config = ModelConfig(
        vocabulary=11,
        width=8,
        encoder_layers=2,
        decoder_layers=1,
        heads=2,
        feed_forward=12,
        gated=gated,
        tie="none",
        output_bias=True,
    )
    state = Seq2Seq(config).state_dict()
    check_shapes(state, config)
    for name, value in state.items():
        with pytest.raises(
            UserError, match=rf"{name} has shape .*, but the configuration says \({value.shape[0]},"
        ):
            check_shapes({name: torch.cat([value, value])}, config)


def test_a_value_that_is_no_number_is_read_as_it_is() -> None:
    fields = [Field("vocab_size", "vocabulary", 8), Field("d_model", "width", 8)]
    found, problems = read_fields(fields, {"vocab_size": float("nan")})
    assert found["vocabulary"] != found["vocabulary"]
    assert (found["width"], problems) == (8, [])


FUSED = [
    *(
        Rule("c_attn.weight", f"{name}.weight", Op.TRANSPOSE, (i, 3))
        for i, name in enumerate(("query", "key", "value"))
    ),
    *(Rule("c_attn.bias", f"{name}.bias", part=(i, 3)) for i, name in enumerate(("query", "key", "value"))),
]


@pytest.mark.parametrize(
    ("make", "join"), [(np.asarray, np.concatenate), (torch.tensor, torch.cat)], ids=["numpy", "torch"]
)
def test_parts_of_one_weight(make: Callable[[Any], Any], join: Callable[[Any], Any]) -> None:
    draw = np.random.default_rng(0)
    weights = {"c_attn.weight": make(draw.normal(size=(4, 12))), "c_attn.bias": make(draw.normal(size=12))}
    ours = to_ours(FUSED, weights)
    assert bool((ours["key.weight"] == weights["c_attn.weight"][:, 4:8].T).all())
    assert bool((ours["value.bias"] == weights["c_attn.bias"][8:]).all())
    back = to_theirs(FUSED, dict(reversed(ours.items())), join=join)
    assert back.keys() == weights.keys()
    assert all(bool((back[name] == weights[name]).all()) for name in weights)
    with pytest.raises(UserError, match=r"c_attn\.bias has shape \(11,\): it cannot hold 3 of one size"):
        to_ours(FUSED, weights | {"c_attn.bias": weights["c_attn.bias"][:11]})


def test_shapes_are_told_as_they_are_there() -> None:
    config = ModelConfig(
        vocabulary=11, width=4, encoder_layers=1, decoder_layers=1, heads=2, feed_forward=5, output_bias=True
    )
    rules = [
        *FUSED,
        Rule("c_fc", "up.weight", Op.TRANSPOSE),
        Rule("logits_bias", "output.bias", Op.ROW),
        Rule("mask", "", Op.COMPUTED),
    ]
    fitting = {
        "c_attn.weight": np.ones((4, 12)),
        "c_attn.bias": np.ones(12),
        "c_fc": np.ones((4, 5)),
        "logits_bias": np.ones((1, 11)),
        "mask": np.ones(3),
    }
    check_their_shapes(rules, fitting, config)
    for name, value in fitting.items():
        if name != "mask":
            shape = re.escape(str(value.shape))
            with pytest.raises(UserError, match=rf"{name} has shape .*, but the configuration says {shape}"):
                check_their_shapes(rules, {name: value[None]}, config)
