"""Multi30k from German to English: its text, and its tokens under a joint byte-pair encoding."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

__all__ = [
    "END",
    "PAD",
    "START",
    "UNKNOWN",
    "Batch",
    "Pairs",
    "batches",
    "pad",
    "read_lines",
    "token_pairs",
    "train_bpe",
    "write_made_up",
]

PAD, START, END, UNKNOWN = range(4)
Pairs = list[tuple[list[int], list[int]]]


class Batch(NamedTuple):
    """Padded sources and targets, each ending in the end token."""

    source: Tensor  # (B, S)
    target: Tensor  # (B, T)

    @property
    def tokens(self) -> int:
        """How many tokens are no padding, both sides together."""
        return int((self.source != PAD).sum() + (self.target != PAD).sum())


def read_lines(file: Path) -> list[str]:
    """The lines of a text file, which may be gzipped."""
    content = file.read_bytes()
    text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode("utf-8")
    return text.removesuffix("\n").split("\n")


def train_bpe(texts: Sequence[str], *, size: int) -> Tokenizer:
    """One byte-level BPE for all the texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<pad>", "<s>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The texts' tokens, each text's ending in the end token."""
    return [[*encoding.ids, END] for encoding in tokenizer.encode_batch(list(texts))]


def token_pairs(data: Path, *, size: int) -> Pairs:
    """The training set as tokens of a joint BPE."""
    source, target = (read_lines(data / f"train.{language}.gz") for language in ("de", "en"))
    tokenizer = train_bpe([*source, *target], size=size)
    return list(zip(encode(tokenizer, source), encode(tokenizer, target), strict=True))


def write_made_up(folder: Path, *, words: int, lines: int = 29_000, seed: int = 0) -> None:
    """Write train.de and train.en, of random words, with as many in a line as Multi30k has tokens.

    Lengths follow the log-normal distribution that fits those of the real pairs, whose sides go together.
    """
    random = np.random.default_rng(seed)
    common, own = random.normal(size=(lines, 1)), random.normal(size=(lines, 2))
    lengths = (
        np.exp(2.695 + 0.29 * common + 0.12 * own).round().astype(int).clip(4, 50) - 1
    )  # without the end
    for language, side in zip(("de", "en"), lengths.T, strict=True):
        text = [" ".join(f"w{word}" for word in random.integers(words, size=length)) for length in side]
        (folder / f"train.{language}").write_text("\n".join(text) + "\n", encoding="utf-8")


def batches(pairs: Pairs, *, tokens: int, seed: int) -> Iterator[Batch]:
    """One epoch, bucketed by length: rows times the longer side's longest are at most `tokens`."""
    random = np.random.default_rng(seed)
    order = sorted(random.permutation(len(pairs)), key=lambda row: max(map(len, pairs[row])))
    cuts: list[list[int]] = [[]]
    for row in order:  # each is at least as long as those before it
        if (len(cuts[-1]) + 1) * max(map(len, pairs[row])) > tokens:
            cuts.append([])
        cuts[-1].append(row)
    for index in random.permutation(len(cuts)):
        source, target = zip(*(pairs[row] for row in cuts[index]), strict=True)
        yield Batch(pad(source), pad(target))


def pad(sequences: Sequence[Sequence[int]]) -> Tensor:
    """The sequences as rows of one length."""
    rows = [torch.tensor(sequence) for sequence in sequences]
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
