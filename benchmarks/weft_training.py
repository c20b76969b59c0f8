"""weft's side of the comparison of training steps: its own trainer, which also says what is in a batch."""

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import weft_model
from benchmarks.huggingface import Shape
from benchmarks.multi30k import Batch
from weft.config import DataConfig, TokenizerConfig, TrainConfig, TranslateConfig
from weft.models.seq2seq import Seq2Seq
from weft.nn.precision import training_dtype
from weft.tasks.parallel import ParallelText
from weft.tasks.translate import Translate
from weft.training.loop import Trainer
from weft.training.report import Silent
from weft.training.world import World

__all__ = ["WeftTraining", "describe"]


class WeftTraining:
    """The training that `weft train translate` would begin, at a peer's shape; `folder` is for its files."""

    def __init__(
        self,
        pattern: str,
        *,
        languages: Sequence[str],
        tokenizer: TokenizerConfig,
        shape: Shape,
        dropout: float,
        batch_tokens: int,
        folder: Path,
    ) -> None:
        source, target = languages
        text = ParallelText(
            DataConfig(train=(pattern,)), TranslateConfig(from_language=source, to_language=target)
        )
        trained = text.train_tokenizer(tokenizer)
        model = Seq2Seq(weft_model.config(shape, dropout=dropout))
        tables = text.tables(
            folder, tokenizer=trained, longest=model.config.max_length, begun=False, tell=print
        )
        config = TrainConfig(batch_tokens=batch_tokens)
        task = Translate(
            tables.train,
            None,
            tokenizer=trained,
            special=model.config.special,
            smoothing=config.smoothing,
        )
        self.trainer = Trainer(
            model,
            task,
            config=config,
            folder=folder,
            kind="translate",
            reporter=Silent(),
            world=World(),
            began=time.monotonic(),
        )

    def __str__(self) -> str:
        return describe(self.trainer)

    def batch(self, number: int) -> Batch:
        """What step `number` learns from."""
        tensors = self.trainer.task.collate(self.trainer.batches.batch(number))
        return Batch(tensors["source"], tensors["labels"])

    def step(self, number: int) -> float:
        """One step of optimisation; gives the loss per target token."""
        return self.trainer.step(number)


def describe(trainer: Trainer) -> str:
    """What weft's defaults come to on this machine."""
    optimizers = " and ".join(type(each).__name__ for each in trainer.optimizers.values())
    dtype = str(training_dtype("auto", "cpu")).removeprefix("torch.")
    return f"defaults: {optimizers}, {dtype}, batches collated within the step"
