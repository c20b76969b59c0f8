"""Transformer-XL: what is remembered, what is seen, and a vocabulary in clusters."""

from typing import Any

import pytest
import torch
from torch import Tensor

from weft.config import ModelConfig
from weft.models.transformer_xl import Memory, TransformerXL
from weft.nn import listen

SMALL = {
    "architecture": "transformer-xl",
    "vocabulary": 40,
    "width": 16,
    "decoder_layers": 3,
    "heads": 4,
    "feed_forward": 32,
    "position": "none",
    "tie": "two",
    "output_bias": True,
    "norm_place": "after",
    "recurrence": {"memory": 6},
}
VOCABULARIES: list[dict[str, Any]] = [
    {},
    {"tie": "none", "output_bias": False},
    {"adaptive": {"cutoffs": (10, 25)}},
    {"adaptive": {"cutoffs": (10, 25), "divide": 2}},
    {
        "adaptive": {"cutoffs": (10, 25), "divide": 2, "tie_projections": False},
        "tie": "none",
        "output_bias": False,
    },
    {"adaptive": {"cutoffs": (10, 25), "width": 12}},
    {"adaptive": {"divide": 2}},
]


NGRAMS: dict[str, Any] = {"longest": 4, "rows": 50}


def made(*, spread: float = 0.3, **fields: Any) -> TransformerXL:
    torch.manual_seed(0)
    model = TransformerXL(ModelConfig.model_validate(SMALL | fields)).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "residual" not in name:
                weight.normal_(std=spread)
    return model


def ids(rows: int, length: int) -> Tensor:
    return torch.randint(0, 40, (rows, length), generator=torch.Generator().manual_seed(rows * 100 + length))


def in_segments(model: TransformerXL, tokens: Tensor, lengths: list[int]) -> tuple[Tensor, Memory]:
    memory, states = None, []
    for segment in torch.split(tokens, lengths, dim=1):
        state, memory = model(segment, memory)
        states.append(state)
    assert memory is not None
    return torch.cat(states, dim=1), memory


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    "recurrence", [{"memory": 32}, {"memory": 6, "same_length": True}, {"memory": 20, "clamp": 4}]
)
@pytest.mark.parametrize("ngrams", [None, NGRAMS])
def test_segments_with_enough_memory_are_one_text(
    place: str, recurrence: dict[str, Any], ngrams: dict[str, Any] | None
) -> None:
    model, tokens = made(norm_place=place, recurrence=recurrence, ngrams=ngrams), ids(2, 20)
    whole, _ = model(tokens)
    states, _ = in_segments(model, tokens, [4, 7, 1, 1, 7])
    torch.testing.assert_close(states, whole, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize(
    "recurrence",
    [
        {"memory": 32},
        {"memory": 6},
        {"memory": 6, "same_length": True},
        {"memory": 9, "clamp": 4},
        {"memory": 1},
    ],
)
@pytest.mark.parametrize("ngrams", [None, NGRAMS])
def test_a_token_at_a_time_is_a_segment_of_one(
    place: str, recurrence: dict[str, Any], ngrams: dict[str, Any] | None
) -> None:
    model, tokens = made(norm_place=place, recurrence=recurrence, ngrams=ngrams), ids(3, 24)
    for begin in (1, 4, 10):
        hidden, memory = model(tokens[:, :begin])
        kept = model.keep(memory)
        for place_ in range(begin, 24):
            token = tokens[:, place_ : place_ + 1]
            hidden, memory = model(token, memory)
            found, kept = model.next(token, kept)
            torch.testing.assert_close(found, hidden, atol=1e-5, rtol=1e-5)
            if place_ == 12:
                rows = torch.tensor([2, 0, 1])
                kept, tokens = kept.select(rows), tokens[rows]
                memory = Memory(tuple(layer[rows] for layer in memory.layers), memory.past.select(rows))
        assert kept.keys[0].shape[2] <= recurrence["memory"]


def test_further_than_in_training_all_distances_are_the_furthest() -> None:
    model, far = made(recurrence={"memory": 6}), made(recurrence={"memory": 20, "clamp": 6})
    memory = others = None
    for segment in torch.split(ids(2, 24), 4, dim=1):
        states, memory = model(segment, memory, remember=20)
        expected, others = far(segment, others)
        torch.testing.assert_close(states, expected)
    assert memory is not None and memory.length == 20


def test_too_short_a_memory_is_not_enough_and_none_still_less() -> None:
    tokens = ids(2, 20)
    short = made(recurrence={"memory": 3})
    states, _ = in_segments(short, tokens, [5] * 4)
    whole, _ = short(tokens)
    alone, _ = short(tokens[:, 15:])
    torch.testing.assert_close(states[:, :5], whole[:, :5], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(states[:, 5:10], whole[:, 5:10], atol=1e-3)
    assert not torch.allclose(states[:, 15:], whole[:, 15:], atol=1e-3)
    assert not torch.allclose(states[:, 15:], alone, atol=1e-3)


def test_what_comes_later_changes_nothing_before_it() -> None:
    model, tokens = made(), ids(2, 12)
    other = tokens.clone()
    other[:, 7:] = (other[:, 7:] + 1) % 40
    states, changed = model(tokens)[0], model(other)[0]
    assert torch.equal(states[:, :7], changed[:, :7])
    assert not torch.isclose(states[:, 7:], changed[:, 7:]).all(-1).any()


def test_each_layer_remembers_what_came_into_it_and_no_gradient_does() -> None:
    model, tokens = made(), ids(3, 4)
    _, first = model(tokens)
    assert first.length == 4
    torch.testing.assert_close(first.layers[0], model.embedding(tokens))
    _, second = model(ids(3, 5), first)
    assert [tuple(layer.shape) for layer in second.layers] == [(3, 6, 16)] * 3
    for before, after in zip(first.layers, second.layers, strict=True):
        assert torch.equal(after[:, 0], before[:, 3])
        assert not after.requires_grad and not before.requires_grad


@pytest.mark.parametrize("shared", [True, False])
def test_every_weight_learns(shared: bool) -> None:
    model = made(
        adaptive={"cutoffs": (10, 25), "divide": 2},
        recurrence={"memory": 6, "pointer": 6, "shared_biases": shared},
    ).train()
    _, memory = model(ids(2, 6))
    states, memory = model(ids(2, 24), memory)
    model.loss(states, (torch.arange(48) % 40).view(2, 24), memory.past).total.backward()
    silent = [
        name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert not silent
    biases = {id(block.attention.content_bias) for block in model.blocks}
    assert len(biases) == (1 if shared else 3)


def test_same_length_and_clamp_do_what_they_say() -> None:
    tokens = ids(1, 12)
    same = made(recurrence={"memory": 5, "same_length": True})
    with listen(same) as heard:
        _, memory = same(tokens)
        same(tokens, memory)
    first, second = heard["blocks.1.attention.weights"]
    assert (second > 0).sum(-1).unique().tolist() == [5]
    assert (first > 0).sum(-1)[0, 0].tolist() == [1, 2, 3, 4] + [5] * 8
    plain, clamped = made(), made(recurrence={"memory": 6, "clamp": 3})
    states, others = plain(tokens)[0], clamped(tokens)[0]
    assert torch.equal(states[:, :4], others[:, :4])
    assert not torch.isclose(states[:, 4:], others[:, 4:]).all(-1).any()


@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=str)
def test_probabilities_sum_to_one_and_are_what_the_loss_sums(vocabulary: dict[str, Any]) -> None:
    model, labels = made(**vocabulary), torch.arange(40)
    states, memory = model(ids(4, 10))
    states = states.detach().requires_grad_()
    scores = model.logits(states.flatten(0, 1))
    if len(model.output.clusters) > 1:
        torch.testing.assert_close(scores.exp().sum(-1), torch.ones(40))
    expected = -scores.log_softmax(-1).gather(-1, labels[:, None])[:, 0]
    found = model.token_losses(states, labels.view(4, 10), memory.past)
    torch.testing.assert_close(found.flatten(), expected)
    summed = model.loss(states, labels.view(4, 10), memory.past)
    torch.testing.assert_close(summed.total, expected.sum())
    (own,) = torch.autograd.grad(summed.total, states)
    (plain,) = torch.autograd.grad(expected.sum(), states)
    torch.testing.assert_close(own, plain, atol=1e-5, rtol=1e-4)
    assert summed.count == 40
    some = labels[:5]  # all of the first cluster
    torch.testing.assert_close(model.loss(states[:1, :5], some[None], memory.past).total, expected[:5].sum())


@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=str)
def test_a_token_has_its_own_vector_whatever_stands_beside_it(vocabulary: dict[str, Any]) -> None:
    embedding = made(**vocabulary).embedding
    tokens = ids(3, 14)
    torch.testing.assert_close(embedding(tokens), embedding(torch.arange(40)[None])[0][tokens])


def test_what_is_tied_is_one_weight() -> None:
    tied = made(adaptive={"cutoffs": (10, 25), "divide": 2})
    assert all(
        own is table.weight for own, table in zip(tied.output.weights, tied.embedding.tables, strict=True)
    )
    same = [
        own is theirs for own, theirs in zip(tied.output.projections, tied.embedding.projections, strict=True)
    ]
    assert same == [False, True, True]
    loose = made(adaptive={"cutoffs": (10, 25), "divide": 2, "tie_projections": False}, tie="none")
    assert loose.output.weights[0] is not loose.embedding.tables[0].weight
    assert loose.output.projections[1] is not loose.embedding.projections[1]


def test_branches_may_begin_at_zero() -> None:
    model = TransformerXL(
        ModelConfig.model_validate(SMALL | {"zero_output": True, "norm_place": "before"})
    ).eval()
    tokens = ids(2, 5)
    assert torch.equal(model(tokens)[0], model.embedding(tokens))


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"recurrence": None}, "needs a recurrence"),
        ({"recurrence": {"memory": 0}}, "greater than 0"),
        ({"position": "learned"}, 'say "none"'),
        ({"kv_heads": 2}, "kv_heads does not suit"),
        ({"window": 4}, "window does not suit"),
        ({"adaptive": {"cutoffs": (20, 10)}}, "do not rise"),
        ({"adaptive": {"cutoffs": (40,)}}, "cutoff 40 is not within the vocabulary of 40"),
        ({"adaptive": {"cutoffs": (10, 20), "divide": 5}}, "cannot be so often divided"),
        ({"decoder_layers": 0}, "decoder_layers 0 do not suit"),
        ({"architecture": "decoder"}, "recurrence does not suit the architecture decoder"),
    ],
    ids=str,
)
def test_shapes_that_cannot_be(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ModelConfig.model_validate(SMALL | fields)
