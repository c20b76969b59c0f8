"""Language modelling: a decoder learns to go on with a text (Radford et al. 2019)."""

import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from weft.config import GeneratorConfig, LanguageRun, ModelConfig, RunConfig
from weft.data.batches import collate, spread
from weft.data.packing import FIELD, Rows, around, find_documents, hold_out_tokens, pack
from weft.data.store import TokenStore, fingerprint
from weft.data.streams import Stream
from weft.errors import UserError
from weft.models.decoder import Decoder
from weft.nn.loss import Loss, vocabulary_loss
from weft.nn.masks import Mask
from weft.runs.folder import Content
from weft.tasks.kept import keep_tokens
from weft.tasks.plain_text import OpenTexts, encode_texts, lines_of, loses_line_ends, open_texts
from weft.tasks.reading import Beginning
from weft.tasks.task import Batch, Problem, Task, Validation
from weft.text.tokenizer import Layout, Tokenizer

__all__ = ["LanguageModel", "LanguageProblem"]

KINDS = ("bpe", "words", "characters")  # tokenizers that keep the ends of lines, or know where they are
TOKENIZER_LINES = 1_000_000  # more teach a tokenizer nothing more
SCORED_TOKENS = 65_536  # of held-out text, on the way; at the end all is read
VALIDATION_TOKENS = 8192  # that are read together
BYTES = "bytes.json"


class LanguageProblem(Problem):
    """A language model's training, from plain text."""

    config = LanguageRun
    table = "language"
    architecture = "decoder"

    def __init__(self, run: RunConfig) -> None:
        assert isinstance(run, LanguageRun)
        if run.language.length > run.model.max_length:
            raise UserError(
                f"language.length is {run.language.length}, and the model takes {run.model.max_length} tokens: set "
                f"model.max_length to {run.language.length} or more, or language.length to less"
            )
        if run.tokenizer.path is None and run.tokenizer.kind not in KINDS:
            raise UserError(
                f'tokenizer.kind = "{run.tokenizer.kind}" loses the ends of lines, which a language model writes too: '
                f"use one of {', '.join(KINDS)}"
            )
        self.run = run
        self.beginning = Beginning(run, architecture=self.architecture)
        opened = partial(open_texts, columns=run.data.columns, text_column=run.language.text_column)
        self.train = opened(run.data.train)
        self.valid = opened(run.data.valid) if run.data.valid else None

    @property
    def about(self) -> str:
        return ", ".join(self.run.data.train)

    def make_tokenizer(self) -> Tokenizer:
        lines = (example.fields[FIELD] for example in lines_of(self.train) if example.fields[FIELD])
        first = next((line for line in lines if line.strip()), None)
        if first is None:
            raise UserError(f"{self.about}: not a single word to learn from")
        texts = islice(chain([first], lines), TOKENIZER_LINES)
        return self.beginning.make_tokenizer(texts, special=(), exact=True)

    def make_task(
        self, folder: Path, *, tokenizer: Tokenizer, begun: bool, tell: Callable[[str], None]
    ) -> "LanguageModel":
        store, size = self._store(folder / "train", self.train, tokenizer, begun=begun)
        if self.valid is None:
            train, valid = self._divided(store, tokenizer)
            predicted = train.predicted + valid.predicted
        else:
            other, size = self._store(folder / "valid", self.valid, tokenizer, begun=begun)
            train, valid = self._whole(store, tokenizer), self._whole(other, tokenizer)
            predicted = valid.predicted
        for texts, names in ((train, self.run.data.train), (valid, self.run.data.valid)):
            if not len(texts):
                raise UserError(
                    f"{', '.join(names or self.run.data.train)}: not a single row of {self.run.language.length} tokens"
                    f"{'' if names else ' to hold out'}: set language.length to less, or give more text"
                )
        return LanguageModel(
            train,
            valid,
            bytes_per_token=size / predicted,
            smoothing=self.run.train.smoothing,
            given=self.valid is not None,
        )

    def _store(
        self, folder: Path, sources: OpenTexts, tokenizer: Tokenizer, *, begun: bool
    ) -> tuple[TokenStore, int]:
        """The text as tokens, in which a row without any ends a text; and the size of the text in bytes."""
        stream, counted = self.run.language.texts == "stream", 0

        def encode(lines: Sequence[str]) -> list[list[int]]:
            nonlocal counted
            counted += sum(len(line.encode()) for line in lines)
            return encode_texts(tokenizer, lines, between=[tokenizer.eos_id] if stream else [])

        names = [source.name for each, _ in sources for source in each.sources]
        stamp = "\n".join(each.stamp for each, _ in sources)
        store, report = keep_tokens(
            folder,
            lambda _: lines_of(sources),
            fields=[FIELD],
            tokenizer=tokenizer,
            mark=fingerprint(stamp, tokenizer.fingerprint, self.run.language.texts),
            names=names,
            begun=begun,
            encode=encode,
        )
        if not store.lengths[FIELD].any():
            raise UserError(f"{', '.join(names)}: not a single line of text to learn from")
        path = folder / BYTES
        if report is not None or not path.exists():  # the run may have been stopped before it was written
            size = counted or sum(len(line.fields[FIELD].encode()) for line in lines_of(sources))
            path.write_text(json.dumps(size), encoding="utf-8")
        return store, int(json.loads(path.read_text(encoding="utf-8")))

    def _divided(self, store: TokenStore, tokenizer: Tokenizer) -> tuple["Texts", "Texts"]:
        """What is learned from, and what is held out: the end of a stream, a row at the least, or some of the texts."""
        size, length = int(store.lengths[FIELD].sum()), self.run.language.length
        tokens = max(1, int(self.run.hold_out * size))
        if self.run.language.texts == "stream":
            end = max(0, size - max(tokens, length + 1))
            return (
                Streamed(Stream(store, begin=0, end=end, length=length)),
                Streamed(Stream(store, begin=end, end=size, length=length)),
            )
        documents, held = hold_out_tokens(
            find_documents(store.lengths[FIELD]), tokens=tokens, seed=self.run.train.seed
        )
        return self._apart(store, documents, tokenizer), self._apart(store, held, tokenizer)

    def _whole(self, store: TokenStore, tokenizer: Tokenizer) -> "Texts":
        if self.run.language.texts == "stream":
            size = int(store.lengths[FIELD].sum())
            return Streamed(Stream(store, begin=0, end=size, length=self.run.language.length))
        return self._apart(store, find_documents(store.lengths[FIELD]), tokenizer)

    def _apart(self, store: TokenStore, documents: NDArray[np.int64], tokenizer: Tokenizer) -> "Texts":
        # Where a line's end is the end token, that of the last line ends the text.
        end = () if loses_line_ends(tokenizer) else (tokenizer.eos_id,)
        layout = Layout((tokenizer.bos_id,), (), end)
        packing = pack(documents, room=self.run.language.length + 1, edges=around(layout))
        return Apart(Rows(store, packing, layout=layout))

    def describe(self, model: ModelConfig) -> GeneratorConfig:
        apart = self.run.language.texts == "apart"
        return GeneratorConfig(
            family=self.beginning.family,
            model=model,
            prefix=(model.special.start,) if apart else (),
            length=self.run.language.length,
        )

    def make_model(self, model: ModelConfig) -> Decoder:
        decoder = Decoder(model)
        if self.beginning.saved is not None:
            decoder.load_state_dict(self.beginning.saved.model.state_dict())
        return decoder


class Texts(Protocol):
    """Rows of text, each of tokens that are read and the tokens that follow them; `predicted` tokens are in all."""

    @property
    def lengths(self) -> NDArray[np.int64]: ...
    @property
    def predicted(self) -> int: ...
    def __len__(self) -> int: ...
    def batch(self, numbers: NDArray[np.int64], *, shift: int) -> Batch: ...
    def place(self, number: int) -> str: ...


class Streamed:
    """Rows of one stream, in each of which every token but the last is read, and every one but the first predicted."""

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
        documents = batch.get("documents")
        mask = None if documents is None else Mask(causal=True, segments=documents)
        states = model(batch["ids"], mask=mask, positions=batch.get("positions")).flatten(0, 1)
        return {
            "next": vocabulary_loss(
                states if documents is None else states[batch["chosen"]],
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
        return []

    @property
    def held_out(self) -> int:
        return len(self.valid)

    @property
    def scored(self) -> int:
        return min(self.held_out, max(1, SCORED_TOKENS // int(self.valid.lengths.max())))

    def validate(self, model: nn.Module, *, scored: int) -> Validation | None:
        """Each row with its own context alone; perplexity by token, and bits for each byte of the text."""
        rows = spread(self.held_out, count=scored or self.scored)
        total, count = 0.0, 0
        together = max(1, VALIDATION_TOKENS // int(self.valid.lengths.max()))
        with torch.inference_mode():
            for part in np.array_split(rows, -(-len(rows) // together)):
                batch = self.to(self.valid.batch(part, shift=0), next(model.parameters()).device)
                loss = self.loss(model, batch)["next"]
                total, count = total + float(loss.total), count + loss.count
        loss_per_token = total / count
        bits = loss_per_token / math.log(2) / self.bytes_per_token
        return Validation(
            loss_per_token, {"perplexity": math.exp(min(loss_per_token, 700)), "bits_per_byte": bits}
        )

    def settle(self, model: nn.Module) -> dict[str, Content]:
        return {}
