"""What training needs to know of a task."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weft.nn.loss import Loss

__all__ = ["Batch", "Task", "Validation"]

Batch = dict[str, Tensor]


class Validation(NamedTuple):
    """How good a model is on held-out examples: its loss in nats a token, and the task's scores by name."""

    loss: float
    scores: dict[str, float]


class Task(ABC):
    """A task, holding its encoded training examples, which it numbers from 0."""

    @property
    @abstractmethod
    def lengths(self) -> NDArray[np.int64]:
        """(N, sides): the tokens of each training example, a column for each sequence that is padded by itself."""

    @abstractmethod
    def collate(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        """Training examples as one padded batch, on the CPU."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        """The task's losses, by name, each a sum with a count of its own."""

    @abstractmethod
    def count(self, batch: Batch) -> dict[str, int]:
        """What the losses are divided by, known before the model runs: parts of a batch are weighted by them."""

    @property
    @abstractmethod
    def held_out(self) -> int:
        """How many examples `validate` measures on."""

    @abstractmethod
    def validate(self, model: nn.Module, *, scored: int) -> Validation | None:
        """Loss on the held-out examples, and scores on so many of them, always the same; None if there are none."""

    @abstractmethod
    def place(self, row: int) -> str:
        """Where a training example stands: its file and line."""

    def to(self, batch: Batch, device: torch.device) -> Batch:
        """The batch on the model's device."""
        return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
