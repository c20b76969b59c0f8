"""Masked language modelling: an encoder learns from plain text alone (Devlin et al. 2019, Liu et al. 2019)."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from weft.config import FillerConfig, HeadName, MaskedConfig, MaskedRun, ModelConfig, RunConfig
from weft.data.batches import collate, spread
from weft.data.packing import FIELD, Rows, around, find_documents, hold_out_tokens, pack, pair_up
from weft.data.sources import Example, Sources, is_table, open_sources
from weft.data.store import TokenStore, fingerprint
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.nn.heads import Pooling
from weft.nn.loss import Loss, vocabulary_loss
from weft.nn.masks import Mask
from weft.runs.folder import Content
from weft.tasks.kept import keep_tokens
from weft.tasks.masking import Hider
from weft.tasks.reading import Beginning
from weft.tasks.task import Batch, Problem, Task, Validation
from weft.text.tokenizer import Tokenizer

__all__ = ["MaskedLM", "MaskedProblem"]

TOKENIZER_LINES = 1_000_000  # more teach a tokenizer nothing more
HELD_OUT = 500  # rows; more tell no more, and take their time from training
VALIDATION_TOKENS = 4096
VALIDATION_SEED = 0
FOLLOWS, OTHER = 0, 1  # what the second text of a pair is to the first, numbered as in published checkpoints


class MaskedProblem(Problem):
    """An encoder's pretraining, from plain text."""

    config = MaskedRun
    table = "masked"
    architecture = "encoder"

    def __init__(self, run: RunConfig) -> None:
        assert isinstance(run, MaskedRun)
        if run.masked.length > run.model.max_length:
            raise UserError(
                f"masked.length is {run.masked.length}, and the model takes {run.model.max_length} tokens: set "
                f"model.max_length to {run.masked.length} or more, or masked.length to less"
            )
        self.run = run
        self.beginning = Beginning(run)
        self.train = open_sources(run.data.train, columns=run.data.columns, fields=[FIELD])
        valid = run.data.valid
        self.valid = open_sources(valid, columns=run.data.columns, fields=[FIELD]) if valid else None

    @property
    def about(self) -> str:
        return ", ".join(self.run.data.train)

    def make_tokenizer(self) -> Tokenizer:
        lines = (example.fields[FIELD] for example in _lines(self.train) if example.fields[FIELD])
        return self.beginning.make_tokenizer(islice(lines, TOKENIZER_LINES))

    def make_task(
        self, folder: Path, *, tokenizer: Tokenizer, begun: bool, tell: Callable[[str], None]
    ) -> "MaskedLM":
        hider = Hider(tokenizer, rate=self.run.masked.rate, whole_words=self.run.masked.whole_words)
        store = _store(folder / "train", self.train, tokenizer, begun=begun)
        documents = find_documents(store.lengths[FIELD])
        if self.valid is None:
            # No more than is measured on.
            tokens = min(self.run.hold_out * len(store[FIELD].ids), HELD_OUT * self.run.masked.length)
            documents, held = hold_out_tokens(documents, tokens=max(1, int(tokens)), seed=self.run.train.seed)
            valid = self._rows(store, held, tokenizer)
        else:
            other = _store(folder / "valid", self.valid, tokenizer, begun=begun)
            valid = self._rows(other, find_documents(other.lengths[FIELD]), tokenizer)
        return MaskedLM(
            self._pairs_there(self._rows(store, documents, tokenizer)),
            valid,
            hider=hider,
            config=self.run.masked,
            seed=self.run.train.seed,
            smoothing=self.run.train.smoothing,
            documents=len(documents),
            given=self.valid is not None,
        )

    def _rows(self, store: TokenStore, documents: NDArray[np.int64], tokenizer: Tokenizer) -> Rows:
        layout, length = tokenizer.layout, self.run.masked.length
        if not self.run.masked.next_sentence:
            return Rows(store, pack(documents, room=length, edges=around(layout)), layout=layout)
        most = (length - around(layout) - len(layout.between)) // 2
        ends = store[FIELD].ends
        pairs = pair_up(documents, ends, most=most, seed=self.run.train.seed)
        return Rows(store, pairs.packing, layout=layout, follows=pairs.follows, alone=pairs.alone)

    def _pairs_there(self, rows: Rows) -> Rows:
        """The same rows; a UserError where there is nothing to learn about what follows what."""
        if rows.follows is not None and (not rows.follows.any() or rows.follows.all()):
            raise UserError(
                f"{self.about}: masked.next_sentence needs two documents or more, with an empty line between them, and "
                "lines that follow each other in one"
            )
        return rows

    def describe(self, model: ModelConfig) -> FillerConfig:
        return FillerConfig(
            family=self.beginning.family, model=model, heads=self._heads, pooling=self._pooling
        )

    def make_model(self, model: ModelConfig) -> Encoder:
        return self.beginning.make_model(model, heads=self._heads, labels=0, pooling=self._pooling)

    @property
    def _heads(self) -> tuple[HeadName, ...]:
        return ("masked", "pooler", "next") if self.run.masked.next_sentence else ("masked",)

    @property
    def _pooling(self) -> Pooling:
        # Nothing but the next sentence teaches the first token what the text is about.
        return "first" if self.run.masked.next_sentence else "mean"


class MaskedLM(Task):
    """Cross-entropy of hidden tokens, and with `config.next_sentence` that of what the second text is to the first.

    What is hidden follows from a row's number and the seed of the step, or where it is `config.fixed` of the run.
    """

    def __init__(
        self,
        train: Rows,
        valid: Rows,
        *,
        hider: Hider,
        config: MaskedConfig,
        seed: int,
        smoothing: float,
        documents: int,
        given: bool,
    ) -> None:
        self.train = train
        self.valid = valid
        self.hider = hider
        self.config = config
        self.seed = seed
        self.smoothing = smoothing
        self.documents = documents
        self.given = given
        self.measured = spread(len(valid), count=HELD_OUT)
        if not len(train):
            raise UserError("not a single line of text to learn from")

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.train.lengths

    def place(self, row: int) -> str:
        return self.train.place(row)

    def begin_step(self, seed: int) -> None:
        """Hide other tokens from here on, by a seed that is the same wherever the step's rows are worked on."""
        if not self.config.fixed:
            self.seed = seed

    def collate(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        return self._collate(self.train, rows, seed=self.seed)

    def _collate(self, table: Rows, rows: Sequence[int] | NDArray[np.int64], *, seed: int) -> Batch:
        """ids (B, T) with tokens hidden; the places of these in the flat batch (M,), and their labels (M,).

        Where it matters, for each token the number of its document, 0 for what fills a row up, and its position there
        (B, T); for pairs its segment (B, T), and what the second text is to the first (B,).
        """
        read = [table[int(row)] for row in rows]
        lengths = [len(row.ids) for row in read]
        ids = collate([row.ids for row in read], pad_id=self.hider.pad_id)
        hidden = self.hider.hide(ids, numbers=[int(row) for row in rows], lengths=lengths, seed=seed)
        chosen = np.flatnonzero(hidden.chosen)
        arrays = {"ids": hidden.ids, "chosen": chosen, "labels": ids.reshape(-1)[chosen]}
        several = any(row.documents[-1] > 1 for row in read)
        if several or min(lengths) < max(lengths):
            arrays["documents"] = collate([row.documents for row in read], pad_id=0)
        if several:
            arrays["positions"] = collate([row.positions for row in read], pad_id=0)
        if table.follows is not None:
            arrays["segments"] = collate([row.segments for row in read], pad_id=0)
            arrays["second"] = np.where(table.follows[np.asarray(rows)], FOLLOWS, OTHER)
        return {name: torch.from_numpy(array) for name, array in arrays.items()}

    def loss(self, model: nn.Module, batch: Batch) -> dict[str, Loss]:
        assert isinstance(model, Encoder)
        states = _states(model, batch)
        output = model.masked.output
        losses = {
            "masked": vocabulary_loss(
                model.masked(states.flatten(0, 1)[batch["chosen"]]),
                batch["labels"],
                weight=output.weight,
                bias=output.bias,
                smoothing=self.smoothing,
            )
        }
        if "second" in batch:
            scores = model.heads["next"](model.pooled(states)).float()
            total = functional.cross_entropy(scores, batch["second"], reduction="sum")
            losses["next"] = Loss(total, len(scores))
        return losses

    def count(self, batch: Batch) -> dict[str, int]:
        counts = {"masked": len(batch["labels"])}
        return counts | ({"next": len(batch["second"])} if "second" in batch else {})

    @property
    def facts(self) -> dict[str, Any]:
        kind = "rows" if self.train.follows is None else "pairs"
        return {
            "documents": self.documents,
            kind: len(self.train),
            "held out": f"{self.held_out:,} {kind}{'' if self.given else ', drawn from the training text'}",
            "tokens": int(self.lengths.sum()),
        }

    @property
    def left_out(self) -> list[str]:
        alone = self.train.alone
        return (
            [f"{alone:,} parts of documents left out, which no other one could be paired with"]
            if alone
            else []
        )

    @property
    def held_out(self) -> int:
        return len(self.measured)

    @property
    def scored(self) -> int:
        return self.held_out

    def validate(self, model: nn.Module, *, scored: int) -> Validation | None:
        """The sum of the losses; perplexity and accuracy are of the hidden tokens, which are the same each time."""
        assert isinstance(model, Encoder)
        if not self.held_out:
            return None
        tokens = int(self.valid.lengths[self.measured].sum())
        sums: dict[str, Sums] = {}
        with torch.inference_mode():
            for rows in np.array_split(
                self.measured, min(len(self.measured), -(-tokens // VALIDATION_TOKENS))
            ):
                batch = self.to(self._collate(self.valid, rows, seed=VALIDATION_SEED), model.device)
                for name, (loss, right, asked) in _measure(model, batch).items():
                    before = sums.get(name, Sums(0.0, 0, 0))
                    sums[name] = Sums(before.loss + loss, before.right + right, before.asked + asked)
        losses = {name: each.loss / each.asked for name, each in sums.items()}
        scores = {
            "perplexity": math.exp(losses["masked"]),
            "accuracy": sums["masked"].right / sums["masked"].asked,
        }
        if "next" in sums:
            scores["next_accuracy"] = sums["next"].right / sums["next"].asked
        return Validation(sum(losses.values()), scores if scored else {})

    def settle(self, model: nn.Module) -> dict[str, Content]:
        return {}


class Sums(NamedTuple):
    """A loss in nats, how often what is likeliest is right, and of how many."""

    loss: float
    right: int
    asked: int


def _measure(model: Encoder, batch: Batch) -> dict[str, Sums]:
    states = _states(model, batch)
    hidden = model.masked.logits(model.masked(states.flatten(0, 1)[batch["chosen"]]))
    asked = {"masked": (hidden, batch["labels"])}
    if "second" in batch:
        asked["next"] = (model.heads["next"](model.pooled(states)), batch["second"])
    return {
        name: Sums(
            float(functional.cross_entropy(scores.float(), labels, reduction="sum")),
            int((scores.argmax(-1) == labels).sum()),
            len(labels),
        )
        for name, (scores, labels) in asked.items()
    }


def _states(model: Encoder, batch: Batch) -> torch.Tensor:
    """Hidden states (B, T, D), in which no document sees another, and nothing what fills a row up."""
    segments = batch.get("segments")
    if segments is not None:
        segments = segments.clamp(max=max(0, model.config.segments - 1))
    states: torch.Tensor = model(
        batch["ids"],
        segments=segments,
        mask=Mask(segments=batch.get("documents")),
        positions=batch.get("positions"),
    )
    return states


def _lines(sources: Sources) -> Iterator[Example]:
    """The lines of all documents, with an empty one after each document.

    In plain text a document ends at an empty line, and with its file. In a table each text is a document, of one line or
    more.
    """
    for source in sources.sources:
        table = is_table(source)
        line = 0
        for line, (text,) in source.rows([FIELD]):
            for part in text.split("\n") if table else [text]:
                yield Example({FIELD: "" if part.isspace() else part}, source.name, line)
            if table:
                yield Example({FIELD: ""}, source.name, line)
        yield Example({FIELD: ""}, source.name, line)


def _store(folder: Path, sources: Sources, tokenizer: Tokenizer, *, begun: bool) -> TokenStore:
    """The lines as tokens, in which a row without any ends a document."""
    names = [source.name for source in sources.sources]
    store, _ = keep_tokens(
        folder,
        lambda _: _lines(sources),
        fields=[FIELD],
        tokenizer=tokenizer,
        mark=fingerprint(sources.stamp, tokenizer.fingerprint, "documents"),
        names=names,
        begun=begun,
    )
    if not len(store[FIELD].ids):
        raise UserError(f"{', '.join(names)}: not a single line of text to learn from")
    return store
