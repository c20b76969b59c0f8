"""Translation: sentence pairs, in one direction or in all of them with a tag for the language to write."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from weft.config import SpecialTokens
from weft.data.batches import collate, spread
from weft.data.store import TokenStore
from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.models.seq2seq import Seq2Seq
from weft.nn.loss import Loss, vocabulary_loss
from weft.runs.folder import Content
from weft.tasks.directions import Direction, score
from weft.tasks.masking import MASK, MASK_RATE, mask_tokens
from weft.tasks.task import Batch, Task, Validation
from weft.text.tokenizer import Tokenizer

__all__ = ["PairTable", "Translate"]

# More held-out pairs than these, evenly spread, tell no more, and take their time from training.
HELD_OUT = 2000
SCORED = 200  # of these on the way, where each has to be translated
VALIDATION_TOKENS = 4096
ROOM = 10


class PairTable:
    """Lines in several languages as pairs: number i is line i // D in direction i % D.

    The source is [tag of the target language, where there are several directions] tokens [end]; the target's tokens
    are bare. Pairs with an empty or an overlong side are not in it. `texts` holds the lines themselves, where they are
    to be references. With `lines`, those alone are in it.
    """

    def __init__(
        self,
        store: TokenStore,
        directions: Sequence[Direction],
        *,
        tags: dict[str, int],
        max_tokens: int,
        texts: Mapping[str, Sequence[str]] | None = None,
        lines: Sequence[int] | None = None,
    ) -> None:
        self.store = store
        self.texts = texts
        self.directions = list(directions)
        self.tags = tags
        self.max_tokens = max_tokens
        extra = 2 if tags else 1  # the end token, and the tag
        sides = [
            np.stack([store.lengths[d.source].astype(np.int64) + extra, store.lengths[d.target] + 1], axis=1)
            for d in directions
        ]
        lengths = np.stack(sides, axis=1).reshape(-1, 2)  # (lines·D, 2)
        whole = (lengths > (extra, 1)).all(axis=1)
        if lines is not None:
            whole &= np.isin(np.arange(len(lengths)) // len(directions), lines)
        fits = (lengths <= max_tokens).all(axis=1)
        self.too_long = int((whole & ~fits).sum())
        self.numbers = np.flatnonzero(whole & fits)
        self.lengths: NDArray[np.int64] = lengths[self.numbers]

    def source(self, row: int, *, end: int) -> NDArray[np.int64]:
        """The source of a pair as the model reads it."""
        line, direction = divmod(int(self.numbers[row]), len(self.directions))
        source, target = self.directions[direction]
        prefix = [self.tags[target]] if self.tags else []
        return np.concatenate([prefix, self.store[source][line], [end]]).astype(np.int64)

    def target(self, row: int) -> NDArray[np.int64]:
        """The target's bare tokens."""
        line, direction = divmod(int(self.numbers[row]), len(self.directions))
        return self.store[self.directions[direction].target][line].astype(np.int64)

    def place(self, row: int) -> str:
        """The file and line of a pair."""
        return self.store.place(int(self.numbers[row]) // len(self.directions))

    def reference(self, row: int) -> str:
        """The target as it was written."""
        assert self.texts is not None
        line, direction = divmod(int(self.numbers[row]), len(self.directions))
        return self.texts[self.directions[direction].target][line]


class Translate(Task):
    """Label-smoothed cross-entropy on pairs, scored by greedy BLEU.

    With `masked`, the encoder is also asked for hidden tokens of the sources, and that loss counts by this weight.
    """

    def __init__(
        self,
        train: PairTable,
        valid: PairTable | None,
        *,
        tokenizer: Tokenizer,
        special: SpecialTokens,
        smoothing: float,
        masked: float = 0.0,
    ) -> None:
        self.train = train
        self.valid = valid
        self.tokenizer = tokenizer
        self.special = special
        self.smoothing = smoothing
        self.masked = masked
        self.mask_id = tokenizer.token_id(MASK) if masked else None

    @property
    def lengths(self) -> NDArray[np.int64]:
        return self.train.lengths

    def place(self, row: int) -> str:
        return self.train.place(row)

    def collate(self, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        return self._collate(self.train, rows)

    def _collate(self, table: PairTable, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
        """source (B, S), and target (B, T) beside the labels (B, T) that follow each of its tokens."""
        pad, start, end = self.special.pad, self.special.start, self.special.end
        targets = [table.target(row) for row in rows]
        source = collate([table.source(row, end=end) for row in rows], pad_id=pad)
        target = collate([np.concatenate([[start], tokens]) for tokens in targets], pad_id=pad)
        labels = collate([np.concatenate([tokens, [end]]) for tokens in targets], pad_id=pad)
        named = {"source": source, "target": target, "labels": labels}
        return {name: torch.from_numpy(array) for name, array in named.items()}

    def loss(self, model: nn.Module, batch: Batch, *, smoothing: float | None = None) -> dict[str, Loss]:
        assert isinstance(model, Seq2Seq)
        keep = batch["source"] != self.special.pad
        memory = model.encode(batch["source"], keep=None if bool(keep.all()) else keep)
        hidden = model.decode(batch["target"], memory)
        labels, labelled = batch["labels"], batch["labels"] != self.special.pad
        smoothing = self.smoothing if smoothing is None else smoothing
        if model.pointer is None:
            translation = vocabulary_loss(
                hidden[labelled],
                labels[labelled],
                weight=model.output.weight,
                bias=model.output.bias,
                smoothing=smoothing,
            )
        else:
            translation = model.pointer.loss(
                hidden,
                labels,
                memory=memory.states,
                source=memory.source,
                keep=memory.keep,
                counted=labelled,
                logits=model.logits(hidden[labelled]),
                smoothing=smoothing,
            )
        if not self.masked or not model.training:
            return {"translation": translation}
        return {"translation": translation, "masked": self._masked_loss(model, batch["source"])}

    def _masked_loss(self, model: Seq2Seq, source: Tensor) -> Loss:
        """What the hidden tokens of the sources (B, S) were, read off the encoder by the output layer's weights."""
        assert self.mask_id is not None
        masked = mask_tokens(
            source, maskable=source > self.mask_id, mask_id=self.mask_id, vocabulary=model.config.vocabulary
        )
        memory = model.encode(masked.tokens, keep=source != self.special.pad)
        loss = vocabulary_loss(
            memory.states[masked.chosen],
            source[masked.chosen],
            weight=model.output.weight,
            bias=model.output.bias,
        )
        return Loss(loss.total * self.masked, loss.count)

    def count(self, batch: Batch) -> dict[str, int]:
        counts = {"translation": int((batch["labels"] != self.special.pad).sum())}
        if self.masked:  # as many as are hidden on the average: which they are is drawn later
            counts["masked"] = round(MASK_RATE * int((batch["source"] > (self.mask_id or 0)).sum()))
        return counts

    @property
    def facts(self) -> dict[str, Any]:
        there = len(self.valid.lengths) if self.valid else 0
        some = self.held_out < there
        return {
            "directions": ", ".join(map(str, self.train.directions)),
            "pairs": len(self.train.lengths),
            "held out": f"{self.held_out:,} of {there:,} pairs, evenly spread"
            if some
            else f"{there:,} pairs",
            "tokens": int(self.lengths.sum()),
        }

    @property
    def left_out(self) -> list[str]:
        tables = [("pairs", self.train), *([("held-out pairs", self.valid)] if self.valid else [])]
        return [
            f"{table.too_long:,} {name} left out as longer than {table.max_tokens} tokens"
            for name, table in tables
            if table.too_long
        ]

    @property
    def held_out(self) -> int:
        return min(len(self.valid.lengths), HELD_OUT) if self.valid else 0

    @property
    def scored(self) -> int:
        return min(self.held_out, SCORED)

    def validate(self, model: nn.Module, *, scored: int) -> Validation | None:
        if self.valid is None or not self.held_out:
            return None
        assert isinstance(model, Seq2Seq)
        used = spread(len(self.valid.lengths), count=self.held_out)
        lengths = self.valid.lengths[used]
        order = used[np.lexsort(lengths.T)]
        total, count = 0.0, 0
        with torch.inference_mode():
            for rows in np.array_split(order, max(1, int(lengths.max(1).sum()) // VALIDATION_TOKENS)):
                batch = self.to(self._collate(self.valid, rows), model.device)
                loss = self.loss(model, batch, smoothing=0.0)["translation"]
                total, count = total + float(loss.total), count + loss.count
        rows = used[spread(len(used), count=min(scored, len(used)))]
        return Validation(total / count, self.scores(model, self.valid, rows) if len(rows) else {})

    def settle(self, model: nn.Module) -> dict[str, Content]:
        return {}

    def scores(self, model: Seq2Seq, table: PairTable, rows: NDArray[np.int64]) -> dict[str, float]:
        """How good the model's own outputs for some rows are."""
        sources = [table.source(row, end=self.special.end).tolist() for row in rows]
        # A model that knows little yet would not end by itself.
        longest = int(table.lengths[rows, 1].max()) + ROOM
        search = SearchConfig(max_length=min(longest, model.config.max_length))
        found = generate(model, sources, search, batch_tokens=VALIDATION_TOKENS)
        translations = self.tokenizer.decode([hypotheses[0].tokens for hypotheses in found])
        return {"bleu": score(translations, [table.reference(row) for row in rows]).bleu}
