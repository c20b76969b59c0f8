"""What a language model learns: the token that follows those it has read."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from weft.data.batches import collate, spread
from weft.data.packing import Rows
from weft.data.streams import Stream
from weft.models.decoder import Decoder
from weft.nn.loss import Loss, vocabulary_loss
from weft.nn.masks import Mask
from weft.runs.folder import Content
from weft.tasks.task import Batch, Task, Validation

__all__ = ["Apart", "LanguageModel", "Streamed", "Texts"]

SCORED_TOKENS = 16_384  # of held-out text, on the way; at the end all is read
VALIDATION_TOKENS = 8192  # that are read together


class Texts(Protocol):
    """Rows of text, each of tokens that are read and the tokens that follow them; `predicted` tokens are in all. So many
    rows were `too_long`."""

    @property
    def lengths(self) -> NDArray[np.int64]: ...
    @property
    def predicted(self) -> int: ...
    @property
    def too_long(self) -> int: ...
    def __len__(self) -> int: ...
    def batch(self, numbers: NDArray[np.int64], *, shift: int) -> Batch: ...
    def place(self, number: int) -> str: ...


class Streamed:
    """Rows of one stream, in each of which every token but the last is read, and every one but the first predicted."""

    too_long = 0

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.lengths = stream.lengths
        self.predicted = stream.size
        self.place = stream.place

    def __len__(self) -> int:
        return len(self.stream)

    def batch(self, numbers: NDArray[np.int64], *, shift: int) -> Batch:
        """ids (B, T), and the labels (B · T,) that follow them."""
        rows = torch.from_numpy(self.stream.rows(numbers, shift=shift))
        return {"ids": rows[:, :-1], "labels": rows[:, 1:].flatten()}


class Apart:
    """Rows of several texts, in which none sees another."""

    too_long = 0

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.lengths = rows.lengths - 1
        self.predicted = int(rows.lengths.sum()) - len(rows.packing.pieces)
        self.place = rows.place

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, numbers: NDArray[np.int64], *, shift: int) -> Batch:
        """ids (B, T), for each the number of its text and its position there; the flat places of those that another one
        of the text follows (M,), and these (M,)."""
        read = [self.rows[int(number)] for number in numbers]
        ids, documents, positions = (
            collate([getattr(row, name) for row in read], pad_id=0)
            for name in ("ids", "documents", "positions")
        )
        followed = (documents[:, :-1] == documents[:, 1:]) & (documents[:, 1:] > 0)
        arrays = {
            "ids": ids[:, :-1],
            "documents": documents[:, :-1],
            "positions": positions[:, :-1],
            "chosen": np.flatnonzero(followed),
            "labels": ids[:, 1:][followed],
        }
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


class LanguageModel(Task):
    """Cross-entropy of each token, given those before it."""

    shorter = "language.length to read shorter rows"

    def __init__(
        self, train: Texts, valid: Texts, *, bytes_per_token: float, smoothing: float, given: bool
    ) -> None:
        self.train = train
        self.valid = valid
        self.bytes_per_token = bytes_per_token
        self.smoothing = smoothing
        self.given = given
        self.shift = 0

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.train.lengths

    def place(self, row: int) -> str:
        return self.train.place(row)

    def begin_step(self, seed: int) -> None:
        """Cut the stream elsewhere: in a second pass no row is one that was seen before."""
        self.shift = seed % int(self.lengths[0, 0])

    def collate(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        return self.train.batch(np.asarray(rows), shift=self.shift)

    def count(self, batch: Batch) -> dict[str, int]:
        return {"next": len(batch["labels"])}

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        assert isinstance(model, Decoder)
        documents, chosen = batch.get("documents"), batch.get("chosen")
        mask = None if documents is None else Mask(causal=True, segments=documents)
        states = model(batch["ids"], mask=mask, positions=batch.get("positions")).flatten(0, 1)
        return {
            "next": vocabulary_loss(
                states if chosen is None else states[chosen],
                batch["labels"],
                weight=model.output.weight,
                bias=model.output.bias,
                smoothing=self.smoothing if model.training else 0.0,
            )
        }

    @property
    def facts(self) -> dict[str, Any]:
        return {
            "rows": len(self.train),
            "held out": f"{self.held_out:,} rows{'' if self.given else ' of the training text'}",
            "tokens": int(self.lengths.sum()),
        }

    @property
    def left_out(self) -> list[str]:
        sides = [("texts", self.train), ("held-out texts", self.valid)]
        return [
            f"{texts.too_long:,} {name} left out as longer than language.length"
            for name, texts in sides
            if texts.too_long
        ]

    @property
    def held_out(self) -> int:
        return len(self.valid)

    @property
    def scored(self) -> int:
        return min(self.held_out, max(1, SCORED_TOKENS // int(self.valid.lengths.max())))

    def validate(self, model: nn.Module, *, scored: int) -> Validation | None:
        """Perplexity by token, and bits for each byte of the text."""
        with torch.inference_mode():
            loss = self.held_out_loss(model, scored=scored or self.scored)
        loss_per_token = float(loss.total) / loss.count
        bits = loss_per_token / math.log(2) / self.bytes_per_token
        return Validation(
            loss_per_token, {"perplexity": math.exp(min(loss_per_token, 700)), "bits_per_byte": bits}
        )

    def held_out_loss(self, model: nn.Module, *, scored: int) -> Loss:
        """That of so many rows, each with its own context alone."""
        rows = spread(self.held_out, count=scored)
        total, count = torch.zeros((), dtype=torch.float64), 0
        together = max(1, VALIDATION_TOKENS // int(self.valid.lengths.max()))
        for part in np.array_split(rows, -(-len(rows) // together)):
            batch = self.to(self.valid.batch(part, shift=0), next(model.parameters()).device)
            loss = self.loss(model, batch)["next"]
            total, count = total + loss.total.double().cpu(), count + loss.count
        return Loss(total, count)

    def settle(self, model: nn.Module) -> dict[str, Content]:
        return {}
