"""weft's side of the comparison of training steps."""

import torch
from torch import Tensor

from benchmarks import weft_model
from benchmarks.huggingface import Shape
from benchmarks.multi30k import PAD, START, Batch
from weft.models.seq2seq import Seq2Seq
from weft.nn import vocabulary_loss

__all__ = ["WeftTraining"]


class WeftTraining:
    """A model with its optimizer."""

    def __init__(self, shape: Shape, *, dropout: float) -> None:
        torch.manual_seed(0)
        self.model = Seq2Seq(weft_model.config(shape, dropout=dropout)).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=True)

    def __str__(self) -> str:
        return "fused AdamW, float32"

    def step(self, batch: Batch) -> float:
        """One step of optimisation; gives the loss per target token."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        return loss.item()

    def _loss(self, batch: Batch) -> Tensor:
        start = batch.target.new_full((len(batch.target), 1), START)
        labelled = batch.target != PAD
        hidden = self.model(
            batch.source,
            torch.cat([start, batch.target[:, :-1]], dim=1),
            source_keep=batch.source != PAD,
        )
        total, count = vocabulary_loss(
            hidden[labelled], batch.target[labelled], weight=self.model.output.weight, smoothing=0.1
        )
        return total / count
