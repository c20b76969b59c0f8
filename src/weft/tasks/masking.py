"""Masked language modelling: which tokens are hidden, and what stands in their place (Devlin et al. 2019, section 3.1)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from numpy.typing import NDArray
from torch import Tensor

from weft.errors import UserError
from weft.text.tokenizer import Tokenizer, special_ids

__all__ = ["MASK", "MASK_RATE", "Hidden", "Hider", "Masked", "mask_tokens", "word_starts"]

MASK = "<mask>"
MASK_RATE = 0.15
HIDDEN, RANDOM = 0.8, 0.1  # of the chosen tokens; the rest stay as they are
SPACED = 0.01  # of the pieces that begin with a space, from which on a vocabulary is one that marks spaces


class Masked(NamedTuple):
    """What the model reads, and where it is asked what stood there."""

    tokens: Int[Tensor, "B S"]
    chosen: Bool[Tensor, "B S"]


def mask_tokens(
    tokens: Int[Tensor, "B S"], *, maskable: Bool[Tensor, "B S"], mask_id: int, vocabulary: int
) -> Masked:
    """Choose 15 % of the maskable tokens; of these 80 % become the mask, 10 % a random piece, 10 % stay.

    Random pieces are those after `mask_id`, the last of the special tokens. Drawn from torch's own generator.
    """
    chance = torch.rand(tokens.shape, device=tokens.device)
    chosen = maskable & (chance < MASK_RATE)
    pieces = torch.randint_like(tokens, mask_id + 1, vocabulary)
    replaced = torch.where(chance < MASK_RATE * (HIDDEN + RANDOM), pieces, tokens)
    replaced = torch.where(chance < MASK_RATE * HIDDEN, mask_id, replaced)
    return Masked(torch.where(chosen, replaced, tokens), chosen)


class Hidden(NamedTuple):
    """What the model reads, and where it is asked what stood there, both (B, T)."""

    ids: NDArray[np.int64]
    chosen: NDArray[np.bool_]


class Hider:
    """Chooses tokens to be hidden, and hides them, by a seed and the number of a row and nothing else.

    Of a row's tokens a share `rate` is chosen, to the nearest number and at least one; special ones never are. With
    `whole_words`, whole words are chosen until there are so many, and the last of them may be chosen in part. Raises
    UserError where the tokenizer has no mask.
    """

    def __init__(self, tokenizer: Tokenizer, *, rate: float, whole_words: bool) -> None:
        if tokenizer.mask_id is None:
            raise UserError(
                f"the tokenizer has no mask: train one with {MASK} among its special tokens, or leave "
                "tokenizer.path and from_checkpoint out"
            )
        self.mask_id = tokenizer.mask_id
        self.pad_id = tokenizer.pad_id
        self.rate = rate
        self.maskable = np.ones(tokenizer.vocab_size, dtype=bool)
        self.maskable[special_ids(tokenizer)] = False
        self.pieces = np.flatnonzero(self.maskable)
        self.starts = word_starts(tokenizer) if whole_words else None

    def hide(
        self, ids: NDArray[np.int64], *, numbers: Sequence[int], lengths: Sequence[int], seed: int
    ) -> Hidden:
        """Rows (B, T) with these numbers and lengths; what fills them up is special, and stays."""
        draws = np.zeros((len(ids), 3, ids.shape[1]), dtype=np.uint64)
        for draw, number, length in zip(draws, numbers, lengths, strict=True):
            # Raw bits: numpy promises that these never change.
            bits = np.random.PCG64(np.random.SeedSequence([seed, number])).random_raw(3 * length)
            draw[:, :length] = bits.reshape(3, length)
        chance, fate, piece = draws[:, 0], _share(draws[:, 1]), _share(draws[:, 2])  # (B, T) each
        chosen = self._choose(ids, chance)
        pieces = self.pieces[(piece * len(self.pieces)).astype(np.int64)]
        replaced = np.where(fate < HIDDEN, self.mask_id, np.where(fate < HIDDEN + RANDOM, pieces, ids))
        return Hidden(np.where(chosen, replaced, ids), chosen)

    def _choose(self, ids: NDArray[np.int64], chance: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """In each row as many as there are to be, those whose chance is the least; a word has that of its first token."""
        maskable = self.maskable[ids]
        places = np.arange(ids.shape[1])
        if self.starts is not None:
            first = np.maximum.accumulate(np.where(self.starts[ids] | ~maskable, places, 0), axis=1)
            chance = np.take_along_axis(chance, first, axis=1)
        there = maskable.sum(axis=1)
        wanted = np.minimum(np.maximum(1, (self.rate * there).round()), there)
        order = np.lexsort((np.broadcast_to(places, ids.shape), chance, ~maskable))
        chosen = np.zeros_like(maskable)
        np.put_along_axis(chosen, order, places < wanted[:, None], axis=1)
        return chosen


def word_starts(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """(V,): which pieces begin a word.

    Where pieces begin with the space before them (byte-level BPE, Unigram, characters), those do, and those that begin
    with anything but a letter: a sign is a word of its own. Else (WordPiece, whole words) all do but those with "##".
    """
    pieces = tokenizer.tokens(range(tokenizer.vocab_size))
    if sum(piece.startswith("▁") for piece in pieces) < SPACED * len(pieces):
        return np.array([not piece.startswith("##") for piece in pieces])
    return np.array([not _goes_on(piece) for piece in pieces])


def _goes_on(piece: str) -> bool:
    """Whether a piece, as a reader sees it, goes on with a word: a letter, an apostrophe and a letter, half a character.

    >>> [_goes_on(piece) for piece in ("ing", "'s", "<0xC3>", "▁dog", ".", "'", "7")]
    [True, True, True, False, False, False, False]
    """
    return piece.startswith("<0x") or piece.lstrip("'’")[:1].isalpha()


def _share(bits: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Random bits as numbers from 0 to 1, without 1."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
