"""Muon against PyTorch's own, and what its iteration does to singular values."""

import pytest
import torch

from weft.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(16, 16), (8, 24), (24, 8)])
def test_updates_are_pytorchs(shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Momentum, decay and size, that is: the iteration itself is another one, and here the same for both."""

    def ours_alone(gradient: torch.Tensor, *_: object) -> torch.Tensor:
        return orthogonalise(gradient[None], dtype=torch.float32)[0]

    monkeypatch.setattr("torch.optim._muon._zeropower_via_newtonschulz", ours_alone)
    torch.manual_seed(0)
    start = [torch.randn(shape) for _ in range(3)]
    ours = [torch.nn.Parameter(matrix.clone()) for matrix in start]
    theirs = [torch.nn.Parameter(matrix.clone()) for matrix in start]
    settings = {"lr": 0.02, "weight_decay": 0.1}
    optimizers = [
        Muon(ours, momentum=0.95, **settings),
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
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", [(16, 16), (8, 24), (24, 8)])
def test_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrices = torch.randn(5, *shape)
    before = torch.linalg.svdvals(matrices)
    in_range = before / before.pow(4).sum(-1, keepdim=True).pow(0.25) > 0.01
    found = torch.linalg.svdvals(orthogonalise(matrices, dtype=torch.float32))
    assert in_range.float().mean() > 0.9
    torch.testing.assert_close(found[in_range], torch.ones_like(found[in_range]), atol=0.28, rtol=0)


def test_singular_vectors_stay() -> None:
    torch.manual_seed(0)
    matrix = torch.randn(1, 8, 24)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.mT @ orthogonalise(matrix, dtype=torch.float32) @ right.mT
    torch.testing.assert_close(turned, torch.diag_embed(turned.diagonal(dim1=-2, dim2=-1)), atol=1e-5, rtol=0)


def test_a_matrix_of_zeros_stays_one() -> None:
    assert not orthogonalise(torch.zeros(2, 8, 8), dtype=torch.float32).any()


def test_a_batch_is_its_matrices_one_by_one() -> None:
    matrices = torch.randn(4, 8, 12)
    together = orthogonalise(matrices, dtype=torch.float32)
    alone = torch.cat([orthogonalise(matrix[None], dtype=torch.float32) for matrix in matrices])
    torch.testing.assert_close(together, alone)
