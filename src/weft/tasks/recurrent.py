"""Language modelling with a memory: a Transformer-XL learns from segments that follow each other (Dai et al. 2019)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weft.data.batches import Batches, Lanes
from weft.errors import UserError
from weft.models.transformer_xl import Memory, TransformerXL
from weft.nn.loss import Loss
from weft.nn.pointer import Past
from weft.tasks.next_token import LanguageModel
from weft.tasks.task import Batch

__all__ = ["RecurrentLanguageModel"]


LONG = 8  # segments of a lane, at the least, unless the text is one lane
COLD = (
    0.1  # share of the steps in which nothing is remembered: what is written after a short prompt begins so
)


class Carried(NamedTuple):
    """A memory, and how many segments of its lanes have been read."""

    memory: Memory
    segments: int


class RecurrentLanguageModel(LanguageModel):
    """Cross-entropy of each token, given those before it in its segment and what is remembered of the segments before.

    The text is cut into lanes, which are read on side by side: what a step has learned of a lane is the next step's memory.
    """

    lanes: Lanes
    carried: dict[tuple[int, ...], Carried]
    """By the rows of the segments that come next."""
    cold: bool

    def batches(self, *, tokens: int, seed: int) -> Batches:
        """The next segment of each lane: as many lanes as the tokens of a batch allow, and leave something to remember."""
        self.carried = {}
        most = len(self.train) // LONG
        self.lanes = Lanes(len(self.train), count=max(1, min(tokens // int(self.lengths[0, 0]), most)))
        return self.lanes

    def begin_step(self, seed: int) -> None:
        """The segments stay where they are, one after the other; now and then they are read without what stands before."""
        self.cold = np.random.default_rng(seed).random() < COLD

    def collate(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        return {**super().collate(rows), "rows": torch.from_numpy(np.asarray(rows))}

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        assert isinstance(model, TransformerXL)
        rows = batch["rows"].cpu().numpy()
        before = self.carried.pop(tuple(rows.tolist()), None)
        if before is None and not np.isin(rows, self.lanes.starts).all():
            raise UserError(
                "what was remembered of the text is gone: a run of several processes cannot be resumed with a "
                "Transformer-XL, begin it anew, or with one process"
            )
        if before is None or self.cold:
            hidden, read_now = model(batch["ids"])
            memory = read_now if before is None else model.after(before.memory, read_now)
            past = read_now.past
        else:
            hidden, memory = model(batch["ids"], before.memory)
            past = memory.past
        read = 1 if before is None else before.segments + 1
        if read < self.lanes.length:
            self.carried[tuple((rows + 1).tolist())] = Carried(memory, read)
        return {"next": model.loss(hidden, batch["labels"].view(len(rows), -1), past)}

    def state(self) -> dict[str, Tensor]:
        """The memories, the rows whose they are, and how many segments of a lane are behind them."""
        found = {}
        for number, (rows, (memory, segments)) in enumerate(self.carried.items()):
            found[f"{number}.rows"] = torch.tensor([segments, *rows])
            found |= {f"{number}.past.{name}": tensor for name, tensor in memory.past._asdict().items()}
            found |= {f"{number}.layers.{layer}": tensor for layer, tensor in enumerate(memory.layers)}
        return found

    def load_state(self, state: dict[str, Tensor]) -> None:
        self.carried = {}
        while f"{(number := len(self.carried))}.rows" in state:
            if f"{number}.past.keys" not in state:
                raise UserError(
                    "what was remembered of the text is of another version of weft: begin the run anew, or resume it there"
                )
            count = sum(name.startswith(f"{number}.layers.") for name in state)
            layers = tuple(state[f"{number}.layers.{layer}"] for layer in range(count))
            past = Past(*(state[f"{number}.past.{name}"] for name in Past._fields))
            segments, *rows = state[f"{number}.rows"].tolist()
            self.carried[tuple(rows)] = Carried(Memory(layers, past), segments)

    def held_out_loss(self, model: nn.Module, *, scored: int) -> Loss:
        """The held-out segments one after the other, from the first on, each with the memory of those before."""
        assert isinstance(model, TransformerXL)
        total, count, memory = torch.zeros((), dtype=torch.float64), 0, None
        for row in range(scored):
            batch = self.to(self.valid.batch(np.array([row]), shift=0), model.device)
            hidden, memory = model(batch["ids"], memory)
            losses = model.token_losses(hidden, batch["labels"][None], memory.past)
            total, count = total + losses.double().sum().cpu(), count + losses.numel()
        return Loss(total, count)
