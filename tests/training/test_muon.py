"""Muon against PyTorch's own, and what its iteration does to singular values."""

import pytest
import torch

from weft.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(16, 16), (8, 24), (24, 8)])
def test_updates_are_pytorchs(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's iterates in bfloat16, so that ours has to for the comparison."""
    torch.manual_seed(0)
    start = [torch.randn(shape) for _ in range(3)]
    ours = [torch.nn.Parameter(matrix.clone()) for matrix in start]
    theirs = [torch.nn.Parameter(matrix.clone()) for matrix in start]
    settings = {"lr": 0.02, "weight_decay": 0.1}
    optimizers = [
        Muon(ours, momentum=0.95, dtype=torch.bfloat16, **settings),
        torch.optim.Muon(theirs, momentum=0.95, adjust_lr_fn="match_rms_adamw", **settings),
    ]
    for _ in range(4):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(shape)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for one, other, before in zip(ours, theirs, start, strict=True):
        assert (one - before).abs().max() > 0.01
        torch.testing.assert_close(one, other, atol=2e-3, rtol=0)


@pytest.mark.parametrize("shape", [(16, 16), (8, 24), (24, 8)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    found = torch.linalg.svdvals(orthogonalise(torch.randn(5, *shape), dtype=torch.float32))
    assert found.min() > 0.3
    assert found.max() < 1.3


def test_a_batch_is_its_matrices_one_by_one() -> None:
    matrices = torch.randn(4, 8, 12)
    together = orthogonalise(matrices, dtype=torch.float32)
    alone = torch.cat([orthogonalise(matrix[None], dtype=torch.float32) for matrix in matrices])
    torch.testing.assert_close(together, alone)
