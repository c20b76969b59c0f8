"""weft's side of the comparisons of encoders: models of BERT's design, on weft's defaults in all else."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.huggingface_encoder import IGNORED, MaskedBatch, Shape
from benchmarks.weft_training import describe
from weft.config import DataConfig, EncoderConfig, MaskedRun, ModelConfig, TokenizerConfig
from weft.models.encoder import Encoder
from weft.pipelines.embedder import Embedder
from weft.recipes import preset
from weft.tasks.masked_lm import MaskedProblem
from weft.tasks.reading import Reader
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer
from weft.training.loop import Trainer
from weft.training.report import Silent
from weft.training.world import World

__all__ = ["WORDS", "WeftMasking", "config", "make_embedder", "spell"]

WORDS = 4
"""The first token that is a word of `make_embedder`'s: those before it are special."""
AROUND = 2  # tokens that the tokenizer's layout puts around a text


def config(shape: Shape, *, dropout: float = 0.0) -> ModelConfig:
    """The configuration of a BERT with this much arithmetic."""
    design = preset("bert-base", architecture="encoder")["model"]
    rates = {"dropout": dropout, "attention_dropout": dropout}
    return ModelConfig(**{**design, **shape._asdict(), **rates})


class WeftMasking:
    """The training that `weft train masked-lm` would begin, at a peer's shape; `folder` is for its files."""

    def __init__(self, text: Path, *, shape: Shape, dropout: float, folder: Path) -> None:
        run = MaskedRun(
            data=DataConfig(train=(str(text),)),
            tokenizer=TokenizerConfig(kind="words", size=shape.vocabulary),
            model=config(shape, dropout=dropout),
        )
        problem = MaskedProblem(run)
        tokenizer = problem.make_tokenizer()
        task = problem.make_task(folder, tokenizer=tokenizer, begun=False, tell=print)
        special = run.model.special.model_copy(update={"mask": tokenizer.mask_id})
        torch.manual_seed(run.train.seed)
        self.trainer = Trainer(
            problem.make_model(run.model.model_copy(update={"special": special})),
            task,
            config=run.train,
            folder=folder,
            kind=run.task,
            reporter=Silent(),
            world=World(),
            began=time.monotonic(),
        )

    def __str__(self) -> str:
        return describe(self.trainer)

    def batch(self, number: int) -> MaskedBatch:
        """The rows that step `number` learns from, with tokens hidden as in the latest step."""
        tensors = self.trainer.task.collate(self.trainer.batches.batch(number))
        labels = torch.full_like(tensors["ids"], IGNORED)
        labels.view(-1)[tensors["chosen"]] = tensors["labels"]
        return MaskedBatch(tensors["ids"], labels)

    def step(self, number: int) -> float:
        """One step of optimisation; gives the loss per hidden token."""
        return self.trainer.step(number)


def make_embedder(shape: Shape) -> Embedder:
    """What `weft.load` gives for a model with random weights; its tokenizer makes a token of each word."""
    words = " ".join(map(_word, range(WORDS, shape.vocabulary)))
    tokenizer: Tokenizer = train_tokenizer([words], kind="words", size=shape.vocabulary)
    described = EncoderConfig(model=config(shape), pooling="mean", normalise=False)
    torch.manual_seed(0)
    return Embedder(described, network=Reader(Encoder(described.model, pooling="mean")), tokenizer=tokenizer)


def spell(tokens: Sequence[int]) -> str:
    """The text of which that tokenizer makes these tokens, those around it left out."""
    return " ".join(map(_word, tokens[1 : 1 - AROUND]))


def _word(token: int) -> str:
    return f"w{token:06}"  # in the order in which equally frequent words are numbered
