"""Prompts and what is to follow them: a language model learns to write the second, and only reads the first."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weft.data.batches import collate
from weft.data.sources import Report, Sources, complete
from weft.data.store import TokenStore
from weft.errors import UserError
from weft.tasks.kept import keep_complete
from weft.tasks.task import Batch
from weft.text.tokenizer import Tokenizer

__all__ = ["Completions", "keep_completions"]

BYTES = "bytes"


class Completions:
    """Rows of a prompt and its completion, of whose tokens and of whose end alone the loss is made.

    A row is `prefix`, prompt, completion and the end token. Rows of more than `length` tokens are left out, and counted in
    `too_long`. `numbers` are the store's rows that are in it, and `size` is that of their completions in bytes, for which
    `sizes` has each row's.
    """

    def __init__(
        self,
        store: TokenStore,
        numbers: Sequence[int],
        *,
        fields: tuple[str, str],
        prefix: Sequence[int],
        end: int,
        length: int,
        sizes: NDArray[np.int64],
    ) -> None:
        self.store = store
        self.prompts, self.completions = store[fields[0]], store[fields[1]]
        self.prefix, self.end = list(prefix), end
        every = np.asarray(numbers, dtype=np.int64)
        written = store.lengths[fields[1]][every]
        lengths = len(self.prefix) + store.lengths[fields[0]][every] + written
        fits = (lengths <= length) & (lengths > written)  # something stands before a completion
        self.too_long = int((lengths > length).sum())
        self.numbers = every[fits]
        self.lengths: NDArray[np.int64] = lengths[fits, None]  # of what is read
        self.size = int(sizes[self.numbers].sum())
        self.predicted = int((written[fits] + 1).sum())

    def __len__(self) -> int:
        return len(self.numbers)

    def batch(self, numbers: NDArray[np.int64], *, shift: int) -> Batch:
        """ids (B, T); the flat places that a completion's token or end follows (M,), and these (M,)."""
        rows, chosen, labels = [], [], []
        width = int(self.lengths[numbers].max())
        for place, number in enumerate(self.numbers[numbers].tolist()):
            prompt, completion = self.prompts[number], self.completions[number]
            rows.append(np.concatenate([self.prefix, prompt, completion]).astype(np.int64))
            first = place * width + len(self.prefix) + len(prompt) - 1
            chosen.append(np.arange(first, first + len(completion) + 1))
            labels.append(np.concatenate([completion, [self.end]]).astype(np.int64))
        return {
            "ids": torch.from_numpy(collate(rows, pad_id=self.end)),
            "chosen": torch.from_numpy(np.concatenate(chosen)),
            "labels": torch.from_numpy(np.concatenate(labels)),
        }

    def place(self, number: int) -> str:
        return self.store.place(int(self.numbers[number]))


def keep_completions(
    folder: Path,
    sources: Sources,
    tokenizer: Tokenizer,
    *,
    begun: bool,
    tell: Callable[[str], None],
) -> tuple[TokenStore, NDArray[np.int64]]:
    """Prompts and completions as tokens, and each completion's size in bytes."""
    store, anew = keep_complete(folder, sources, tokenizer, begun=begun, tell=tell)
    if not len(store):
        names = ", ".join(source.name for source in sources.sources)
        raise UserError(f"{names}: not a single prompt with a completion")
    path = folder / BYTES
    if anew or not path.exists():
        examples = complete(sources, report=Report())
        sizes = [len(example.fields[sources.fields[1]].encode()) for example in examples]
        np.array(sizes, dtype=np.int64).tofile(path)
    return store, np.fromfile(path, dtype=np.int64)
