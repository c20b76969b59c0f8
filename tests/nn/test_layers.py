"""Dropout, loss, masks and caches."""

import pytest
import torch
from torch.nn import functional

from weft.nn import Dropout, KVCache, Mask, vocabulary_loss
from weft.nn import loss as loss_module


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, 1001, requires_grad=True)
    out = Dropout(rate)(x)
    assert abs((out == 0).double().mean() - rate) < 2e-3
    assert out.unique().tolist() == pytest.approx([0.0, 1 / (1 - rate)])
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_dropout_is_drawn_from_the_global_seed_and_off_in_evaluation() -> None:
    dropout, x = Dropout(0.5), torch.randn(7, 13)
    torch.manual_seed(3)
    first = dropout(x)
    second = dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)
    assert dropout.eval()(x) is x


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("biased", [False, True])
def test_projected_loss_is_pytorchs(smoothing: float, biased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_module, "CHUNK_NUMBERS", 50 * 7)  # several chunks, the last one short
    torch.manual_seed(0)
    hidden, weight, bias = (torch.randn(shape, requires_grad=True) for shape in ((24, 16), (50, 16), (50,)))
    labels = torch.randint(0, 50, (24,))
    leaves = [hidden, weight, bias] if biased else [hidden, weight]
    expected = functional.cross_entropy(
        hidden @ weight.T + (bias if biased else 0), labels, label_smoothing=smoothing, reduction="sum"
    )
    gradients = torch.autograd.grad(expected * 0.5, leaves)
    found = vocabulary_loss(hidden, labels, weight=weight, bias=bias if biased else None, smoothing=smoothing)
    assert found.count == 24
    torch.testing.assert_close(found.total, expected)
    for ours, theirs in zip(torch.autograd.grad(found.total * 0.5, leaves), gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
    with torch.no_grad():
        quiet = vocabulary_loss(
            hidden, labels, weight=weight, bias=bias if biased else None, smoothing=smoothing
        )
    torch.testing.assert_close(quiet.total, expected)


def test_a_mask_of_nothing_is_none() -> None:
    assert Mask().build(3, 3, device=torch.device("cpu")) is None
    assert Mask(causal=True).build(1, 5, device=torch.device("cpu")) is None  # the last query sees all


def test_a_mask_of_new_tokens_is_the_end_of_the_whole_mask() -> None:
    mask = Mask(causal=True, window=4, keep=torch.tensor([[False] + [True] * 7]))
    whole = mask.build(8, 8, device=torch.device("cpu"))
    last = mask.build(3, 8, device=torch.device("cpu"))
    assert whole is not None and last is not None
    assert torch.equal(last, whole[:, :, -3:])


def test_a_cache_reorders() -> None:
    cache = KVCache(1, capacity=4)
    keys = torch.arange(6.0).view(3, 1, 2, 1)
    cache.layers[0].extend(keys, -keys)
    cache.reorder(torch.tensor([2, 0]))
    found, values = cache.layers[0].extend(torch.tensor([[[[9.0]]], [[[8.0]]]]), torch.zeros(2, 1, 1, 1))
    assert found.flatten(1).tolist() == [[4.0, 5.0, 9.0], [0.0, 1.0, 8.0]]
    assert values.flatten(1).tolist() == [[-4.0, -5.0, 0.0], [0.0, -1.0, 0.0]]
    assert cache.length == 3


def test_a_cache_is_reordered_again_and_again() -> None:
    cache, draw = KVCache(1, capacity=12).layers[0], torch.Generator().manual_seed(0)
    expected = torch.empty(2, 1, 0, 3)
    for count in (2, 8, 8, 4, 4, 6, 1, 3):
        new = torch.randn(len(expected), 1, 1, 3, generator=draw)
        keys, values = cache.extend(new, -new)
        expected = torch.cat((expected, new), 2)
        assert torch.equal(keys, expected)
        assert torch.equal(values, -expected)
        rows = torch.randint(len(expected), (count,), generator=draw)
        cache.reorder(rows)
        expected = expected[rows]
