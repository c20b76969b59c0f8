from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from weft.errors import UserError
from weft.runs.checkpoints import load_checkpoint, save_checkpoint
from weft.runs.state import flatten_state, unflatten_state

NESTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
    max_leaves=10,
)


def same(a: Any, b: Any) -> bool:
    """Equal in value and in type, all the way down."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(
            type(x) is type(y) and same(a[x], b[y]) for x, y in zip(a, b, strict=True)
        )
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@given(NESTS)
def test_any_nest_comes_back(nest: Any) -> None:
    tensors, plain = flatten_state({"nest": nest, "a.b": torch.ones(2), "a": {"b": torch.zeros(())}})
    again = unflatten_state(tensors, plain)
    assert same(again["nest"], nest)
    assert again["a.b"] is tensors[plain_name(plain, 1)]
    assert again["a"]["b"].shape == ()


def plain_name(plain: Any, index: int) -> str:
    return str(plain["dict"][index][1]["tensor"])


@pytest.mark.parametrize("value", [{1, 2}, {(1, 2): 3}, {None: 1}, {True: 1}, b"bytes", object()])
def test_what_cannot_be_saved_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=r"state\.x: "):
        flatten_state({"x": value})


@pytest.mark.parametrize(
    "plain", [{"tensor": "gone"}, {"new": 1}, {}, {"float": "x"}, {"dict": [[1]]}, {"tuple": 3}]
)
def test_a_state_that_does_not_fit_is_a_clear_error(plain: Any) -> None:
    with pytest.raises(UserError, match="the saved state is damaged"):
        unflatten_state({}, plain)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in model.parameters() if p.ndim == 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim == 1], "lr": 3e-4},
    ]
    return torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.98), fused=True)


def amsgrad(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=torch.tensor(1e-3), amsgrad=True, foreach=False)


def muon(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Muon([p for p in model.parameters() if p.ndim == 2], lr=1e-2, weight_decay=0.1)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        inputs = torch.randn(16, 8, generator=torch.Generator().manual_seed(step))
        model.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


def build() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 8))


@pytest.mark.parametrize("make", [adamw, amsgrad, muon])
def test_an_optimizer_goes_on_bit_for_bit(make: Any, tmp_path: Path) -> None:
    model = build()
    optimizer = make(model)
    train(model, optimizer, range(5))
    tensors, plain = flatten_state(optimizer.state_dict())
    groups = {"model": model.state_dict(), "optimizer": tensors}
    path = save_checkpoint(tmp_path, 5, tensors=groups, state={"optimizer": plain}, keep=1)
    train(model, optimizer, range(5, 10))

    resumed = build()
    again = make(resumed)
    loaded, state = load_checkpoint(path)
    resumed.load_state_dict(loaded["model"])
    restored = unflatten_state(loaded["optimizer"], state["optimizer"])
    again.load_state_dict(restored)
    assert same(again.state_dict(), restored)
    train(resumed, again, range(5, 10))
    assert same(again.state_dict(), optimizer.state_dict())
    assert same(resumed.state_dict(), model.state_dict())
