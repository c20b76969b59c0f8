"""What training needs to know of a task."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weft.config import FolderConfig, ModelConfig, RunConfig
from weft.data.batches import Batches, BatchPlan
from weft.nn.loss import Loss
from weft.runs.folder import Content
from weft.text.tokenizer import Tokenizer

__all__ = ["Batch", "Problem", "Task", "Validation", "Worth"]

Batch = dict[str, Tensor]


class Worth(NamedTuple):
    """What weights are chosen by, more is better: a score where the task has one for it, and among equals the loss."""

    score: float
    minus_loss: float


class Validation(NamedTuple):
    """How good a model is on held-out examples: its loss in nats, and the task's scores by name.

    `goal` names the score that weights are chosen by; without one the loss is what counts.
    """

    loss: float
    scores: dict[str, float]
    goal: str | None = None

    @property
    def worth(self) -> Worth:
        return Worth(self.scores[self.goal] if self.goal else 0.0, -self.loss)


class Problem(ABC):
    """What a run is about, before anything is encoded: its text, opened; its tokenizer, its model and its `Task`.

    Made from a run's configuration, and anew each time the run goes on. `table` names the task's own settings in it.
    """

    config: ClassVar[type[RunConfig]]
    table: ClassVar[str]
    architecture: ClassVar[str]

    @abstractmethod
    def __init__(self, run: RunConfig) -> None:
        """Open the text that the configuration names; a UserError says what is wrong with it."""

    @property
    @abstractmethod
    def about(self) -> str:
        """What there is to read, in a word or two, for a message."""

    @abstractmethod
    def make_tokenizer(self) -> Tokenizer:
        """The tokenizer that the configuration names, or one trained on the text."""

    @abstractmethod
    def make_task(
        self, folder: Path, *, tokenizer: Tokenizer, begun: bool, tell: Callable[[str], None]
    ) -> "Task":
        """The text encoded, with files below `folder` that are used again when nothing has changed.

        Once a run has `begun`, another text than the one it began with is refused.
        """

    @abstractmethod
    def describe(self, model: ModelConfig) -> FolderConfig:
        """The model folder's `config.json`."""

    @abstractmethod
    def make_model(self, model: ModelConfig) -> nn.Module:
        """The model as it is before the first step, its weights drawn from PyTorch's global generator."""


class Task(ABC):
    """A task, holding its encoded training examples, which it numbers from 0.

    `shorter` says, after "set", how one gets shorter examples.
    """

    shorter = "data.max_tokens to leave such examples out"

    @property
    @abstractmethod
    def lengths(self) -> NDArray[np.int64]:
        """(N, sides): the tokens of each training example, a column for each sequence that is padded by itself."""

    def batches(self, *, tokens: int, seed: int) -> Batches:
        """Which examples each step learns from, of up to so many tokens."""
        return BatchPlan(self.lengths, tokens=tokens, seed=seed)

    def state(self) -> dict[str, Tensor]:
        """What the task carries from step to step beside the weights, for a checkpoint; most carry nothing."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027 - most have none
        """Go on with what was carried."""

    def begin_step(self, seed: int) -> None:  # noqa: B027 - most tasks draw nothing
        """A step begins: what `collate` draws from here on follows from this seed, which is the same in all processes."""

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
    def facts(self) -> dict[str, Any]:
        """What there is to learn from, to be read."""

    @property
    @abstractmethod
    def left_out(self) -> list[str]:
        """In words, what is too long to be used."""

    @property
    @abstractmethod
    def held_out(self) -> int:
        """How many examples `validate` measures on."""

    @property
    @abstractmethod
    def scored(self) -> int:
        """How many of these are scored on the way; at the run's end, all are."""

    @abstractmethod
    def validate(self, model: nn.Module, *, scored: int) -> Validation | None:
        """Loss on the held-out examples, and scores on so many of them, always the same; None if there are none."""

    @abstractmethod
    def settle(self, model: nn.Module) -> dict[str, Content]:
        """Files of the model's folder that only the trained model can tell, such as a threshold; often none."""

    @abstractmethod
    def place(self, row: int) -> str:
        """Where a training example stands: its file and line."""

    def to(self, batch: Batch, device: torch.device) -> Batch:
        """The batch on the model's device."""
        return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
