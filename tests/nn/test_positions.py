"""Position schemes against their papers' formulas."""

import math

import pytest
import torch

from weft.nn import Alibi, Learned, Position, RelativeBuckets, Rotary, Sinusoidal


def test_sinusoids_are_the_papers() -> None:
    x = Sinusoidal(8, max_length=50).embed(torch.zeros(1, 50, 8), torch.arange(50))[0]
    for place in (0, 1, 49):
        for i in range(4):
            angle = place / 10000 ** (2 * i / 8)
            assert math.isclose(x[place, 2 * i], math.sin(angle), abs_tol=1e-6)
            assert math.isclose(x[place, 2 * i + 1], math.cos(angle), abs_tol=1e-6)


def test_halves_are_the_same_numbers_in_another_order() -> None:
    alternating, halves = Sinusoidal(8, max_length=20), Sinusoidal(8, max_length=20, halves=True)
    assert torch.equal(alternating.table[:, ::2], halves.table[:, :4])
    assert torch.equal(alternating.table[:, 1::2], halves.table[:, 4:])


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    rotary = Rotary(16, max_length=100)
    q, k = torch.randn(2, 1, 1, 1, 16)

    def score(query: int, key: int) -> float:
        turned = rotary.rotate(q, torch.tensor([query])) * rotary.rotate(k, torch.tensor([key]))
        return float(turned.sum())

    assert math.isclose(score(7, 3), score(60, 56), rel_tol=1e-4)
    assert not math.isclose(score(7, 3), score(7, 0), rel_tol=1e-2)


def test_rotary_keeps_lengths_and_the_first_position() -> None:
    x = torch.randn(2, 3, 5, 16)
    turned = Rotary(16, max_length=10).rotate(x, torch.arange(5))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned[:, :, 0], x[:, :, 0])


def test_rotary_takes_positions_of_each_row() -> None:
    x = torch.randn(2, 3, 4, 16)
    rotary = Rotary(16, max_length=10)
    rows = torch.tensor([[0, 1, 2, 3], [0, 1, 0, 1]])
    both = rotary.rotate(x, rows)
    for row in range(2):
        torch.testing.assert_close(both[row], rotary.rotate(x[row : row + 1], rows[row])[0])


@pytest.mark.parametrize(
    "scheme",
    [Sinusoidal(16, max_length=10), Learned(16, max_length=10), Rotary(16, max_length=10)],
    ids=lambda scheme: type(scheme).__name__,
)
def test_a_slice_is_the_positions_in_it(scheme: Position) -> None:
    hook = scheme.rotate if isinstance(scheme, Rotary) else scheme.embed
    x = torch.randn(2, 4, 16) if hook == scheme.embed else torch.randn(2, 3, 4, 16)
    assert torch.equal(hook(x, slice(6, 10)), hook(x, torch.arange(6, 10)))
    with pytest.raises(IndexError, match="position 10: the last one that the model takes is 9"):
        hook(x, slice(7, 11))


def test_alibi_slopes_are_the_papers() -> None:
    assert Alibi(8).slopes.tolist() == [2.0**-i for i in range(1, 9)]
    bias = Alibi(8).bias(torch.arange(3, 5), torch.arange(5))
    assert bias[0].tolist() == [[-1.5, -1.0, -0.5, 0.0, -0.5], [-2.0, -1.5, -1.0, -0.5, 0.0]]


def test_relative_buckets_are_t5s() -> None:
    """The buckets that transformers' T5 gives for a spread of distances."""
    from transformers.models.t5.modeling_t5 import T5Attention

    places = torch.arange(300)
    for causal in (True, False):
        ours = RelativeBuckets(2, causal=causal)
        theirs = T5Attention._relative_position_bucket(
            places[None, :] - places[:, None], bidirectional=not causal, num_buckets=32, max_distance=128
        )
        expected = ours.table(theirs).permute(2, 0, 1)
        assert torch.equal(ours.bias(places, places), expected)
