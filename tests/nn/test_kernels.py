"""Every kernel against the definition, forward and backward, over every mask."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from weft.nn import Alibi, Mask, Tap, attend, kernels

ROWS, HEADS, LENGTH, WIDTH = 3, 4, 9, 8

MASKS: dict[str, Callable[[], Mask]] = {
    "none": Mask,
    "causal": lambda: Mask(causal=True),
    "keep": lambda: Mask(keep=torch.arange(LENGTH) < torch.tensor([[9], [4], [1]])),
    "keep nothing": lambda: Mask(keep=torch.arange(LENGTH) < torch.tensor([[9], [4], [0]])),
    "causal and keep": lambda: Mask(causal=True, keep=torch.arange(LENGTH) >= torch.tensor([[0], [2], [5]])),
    "window": lambda: Mask(window=3),
    "causal window": lambda: Mask(causal=True, window=3),
    "segments": lambda: Mask(causal=True, segments=torch.tensor([[0] * 4 + [1] * 5, [0] * 9, [0, 1, 2] * 3])),
}


def by_definition(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None, bias: Tensor | None) -> Tensor:
    """One query at a time, one head at a time."""
    out = torch.zeros_like(q)
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            group = h * k.shape[1] // q.shape[1]
            for t in range(q.shape[2]):
                scores = (k[b, group] * q[b, h, t]).sum(-1) / math.sqrt(q.shape[-1])
                if bias is not None:
                    scores = scores + bias[h, t]
                seen = torch.ones(k.shape[2], dtype=torch.bool)
                if allowed is not None:
                    seen = allowed.expand(q.shape[0], 1, q.shape[2], k.shape[2])[b, 0, t]
                if seen.any():
                    weights = scores[seen].exp() / scores[seen].exp().sum()
                    out[b, h, t] = (weights[:, None] * v[b, group][seen]).sum(0)
    return out


def inputs(groups: int) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = [(ROWS, heads, LENGTH, WIDTH) for heads in (HEADS, groups, groups)]
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("kernel", ["plain", "sdpa"])
@pytest.mark.parametrize("groups", [HEADS, 2])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("name", MASKS)
def test_kernels_agree_with_the_definition(
    name: str, biased: bool, groups: int, kernel: kernels.Kernel
) -> None:
    mask = MASKS[name]()
    allowed = mask.build(LENGTH, LENGTH, device=torch.device("cpu"))
    places = torch.arange(LENGTH)
    bias = Alibi(HEADS).bias(places, places).double() if biased else None
    expected_inputs, found_inputs = inputs(groups), inputs(groups)
    expected = by_definition(*expected_inputs, allowed, bias)
    found = attend(*found_inputs, mask=allowed, causal=mask.only_causal, bias=bias, kernel=kernel)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (found * weight).sum().backward()
    for ours, theirs in zip(found_inputs, expected_inputs, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("block", [2, 4, LENGTH, 100])
@pytest.mark.parametrize("groups", [HEADS, 2])
def test_causal_blocks_agree_with_the_definition(
    groups: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "BLOCK", block)
    found_inputs, expected_inputs = inputs(groups), inputs(groups)
    found = attend(*found_inputs, causal=True, kernel="blocks")
    allowed = Mask(causal=True).build(LENGTH, LENGTH, device=torch.device("cpu"))
    expected = by_definition(*expected_inputs, allowed, None)
    torch.testing.assert_close(found, expected)
    weight = torch.randn_like(expected)
    (expected * weight).sum().backward()
    (found * weight).sum().backward()
    for ours, theirs in zip(found_inputs, expected_inputs, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_query_that_sees_nothing_gets_zeros() -> None:
    allowed = MASKS["keep nothing"]().build(LENGTH, LENGTH, device=torch.device("cpu"))
    for kernel in ("plain", "sdpa"):
        assert attend(*inputs(HEADS), mask=allowed, kernel=kernel)[2].abs().max() == 0


def test_the_kernel_is_the_one_that_is_fast_here() -> None:
    def choose(
        length: int,
        *,
        device: str = "cpu",
        wanted: bool = False,
        dtype: torch.dtype = torch.float32,
        causal: bool = False,
    ) -> str:
        queries = torch.empty(1, 1, length, 8, dtype=dtype, device=device)
        return kernels.choose_kernel(queries, keys=length, causal=causal, weights_wanted=wanted)

    assert choose(16) == "plain"
    assert choose(1024) == "sdpa"
    assert choose(16, device="meta") == "sdpa"
    assert choose(1024, device="meta", wanted=True) == "plain"
    assert choose(1024, dtype=torch.bfloat16, causal=True) == "blocks"
    assert choose(1024, dtype=torch.bfloat16) == choose(1024, causal=True) == "sdpa"
    assert choose(1025, dtype=torch.bfloat16, causal=True) == "sdpa"


def test_a_tap_that_is_listened_to_makes_the_plain_kernel_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    plain, sdpa = kernels._plain, kernels.functional.scaled_dot_product_attention
    monkeypatch.setattr(kernels, "_plain", lambda *a, **k: (ran.append("plain"), plain(*a, **k))[1])
    monkeypatch.setattr(
        kernels.functional,
        "scaled_dot_product_attention",
        lambda *a, **k: (ran.append("sdpa"), sdpa(*a, **k))[1],
    )
    tap = Tap()
    long = [torch.randn(1, 2, 200, 8) for _ in range(3)]
    attend(*long, tap=tap)
    heard: list[Tensor] = []
    handle = tap.register_forward_hook(lambda _module, _inputs, weights: heard.append(weights))
    attend(*long, tap=tap)
    handle.remove()
    attend(*long, tap=tap)
    assert ran == ["sdpa", "plain", "sdpa"]
    torch.testing.assert_close(heard[0].sum(-1), torch.ones(1, 2, 200))
