"""What an encoder's answer rests on: how much each token of the text adds to it, by integrated gradients."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from weft.errors import UserError
from weft.inspect.maps import as_row, without_dropout
from weft.models.encoder import Encoder
from weft.nn.int8 import Int8Linear

__all__ = ["Attribution", "Target", "attribute", "log_odds"]

COMPLETE = 0.01  # the share of the difference that the scores' sum may be off
STEPS = 8
MOST_STEPS = 1024
BATCH_TOKENS = 4096  # of steps that are worked on together

Target = Callable[[Float[Tensor, "B T D"]], Float[Tensor, " B"]]
"""From hidden states to the one number of each row that is to be explained; no row may depend on another."""


class Attribution(NamedTuple):
    """What each token adds to a number, where that is `value` with the text and `baseline` with the text hidden.

    It took `steps` points on the way from one to the other.
    """

    scores: Float[np.ndarray, " T"]
    value: float
    baseline: float
    steps: int

    @property
    def residual(self) -> float:
        """What the scores' sum is over the difference that they are to explain, which is an error of the integration."""
        return float(self.scores.sum()) - (self.value - self.baseline)

    @property
    def complete(self) -> bool:
        """Whether the scores add up to the difference, but for a hundredth of it."""
        return abs(self.residual) <= COMPLETE * abs(self.value - self.baseline)


def log_odds(logits: Float[Tensor, "*N L"], chosen: Sequence[int]) -> Float[Tensor, "*N"]:
    """log p / (1 − p) of the `chosen` labels together.

    A softmax's logits are open to a constant, which this is not; and it keeps growing where a probability is near 1.

    >>> log_odds(torch.tensor([0.7, 0.2, 0.1]).log(), [1, 2]).exp()
    tensor(0.4286)
    """
    rest = [number for number in range(logits.shape[-1]) if number not in chosen]
    return logits[..., list(chosen)].logsumexp(-1) - logits[..., rest].logsumexp(-1)


@torch.enable_grad()
def attribute(
    model: Encoder, ids: Sequence[int], *, segments: Sequence[int], hidden: Sequence[int], target: Target
) -> Attribution:
    """What each token adds to `target`, by integrated gradients over the tokens' embeddings (Sundararajan et al. 2017).

    The path leads from the embeddings of `hidden`, the ids of a text that says nothing, to those of `ids`; a token that
    is the same in both gets exactly 0. The integral is a Gauss-Legendre sum of twice as many steps again until the scores
    are complete, or the most steps are reached. Raises UserError for a model in another precision than float32, which
    has no gradients worth the name.
    """
    _refuse_rounded(model)
    row, kinds = as_row(model, ids), as_row(model, segments).clamp(max=max(0, model.config.segments - 1))
    with without_dropout(model):
        away, there = (model.embedding(each).detach() for each in (as_row(model, hidden), row))
        path = _Path(model, row, kinds, away, there - away, target)
        baseline, value = path.at(there.new_tensor([0.0, 1.0]))[1].tolist()
        steps = STEPS
        while True:
            scores = (path.difference[0] * path.gradient(steps)).sum(-1)  # (T,)
            found = Attribution(scores.cpu().numpy(), value, baseline, steps)
            if found.complete or steps >= MOST_STEPS:
                return found
            steps *= 2


class _Path(NamedTuple):
    """The straight line from one text's embeddings (1, T, D) to another's, and what is asked of a model on it."""

    model: Encoder
    ids: Int[Tensor, "1 T"]
    segments: Int[Tensor, "1 T"]
    begin: Float[Tensor, "1 T D"]
    difference: Float[Tensor, "1 T D"]
    target: Target

    def at(self, points: Float[Tensor, " P"]) -> tuple[Float[Tensor, "P T D"], Float[Tensor, " P"]]:
        """The embeddings at points between 0 and 1, and the target there."""
        rows = (len(points), -1)
        embedded = (self.begin + points[:, None, None] * self.difference).requires_grad_()
        with _in_place_of_tokens(self.model, embedded):
            states = self.model(self.ids.expand(rows), segments=self.segments.expand(rows))
        return embedded, self.target(states)

    def gradient(self, steps: int) -> Float[Tensor, "T D"]:
        """The target's gradient, averaged along the line (float64)."""
        points, weights = _gauss_legendre(steps, like=self.begin)
        most = max(1, BATCH_TOKENS // self.ids.shape[1])
        parts = zip(torch.split(points, most), torch.split(weights, most), strict=True)
        mean = torch.zeros_like(self.begin[0], dtype=torch.float64)
        for some, their in parts:
            embedded, found = self.at(some)
            (gradients,) = torch.autograd.grad(found.sum(), embedded)
            mean += (gradients.double() * their[:, None, None]).sum(0)
        return mean


def _refuse_rounded(model: Encoder) -> None:
    exact = (torch.float32, torch.float64)
    rounded = any(parameter.dtype not in exact for parameter in model.parameters())
    if rounded or any(isinstance(module, Int8Linear) for module in model.modules()):
        raise UserError(
            'what an answer rests on is found in float32: load the model with precision="float32"'
        )


@contextmanager
def _in_place_of_tokens(model: Encoder, embedded: Float[Tensor, "B T D"]) -> Iterator[None]:
    """While this lasts, the model reads these vectors, and its tokens' own count for nothing."""
    handle = model.embedding.register_forward_hook(lambda *_: embedded)
    try:
        yield
    finally:
        handle.remove()


def _gauss_legendre(steps: int, *, like: Tensor) -> tuple[Tensor, Tensor]:
    """The points between 0 and 1 of an integral, and their weights, which add up to 1."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    of_model = torch.tensor((points + 1) / 2, dtype=like.dtype, device=like.device)
    return of_model, torch.tensor(weights / 2, dtype=torch.float64, device=like.device)
