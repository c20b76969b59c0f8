"""Masks: what may see what. Built once per forward, at the top of a stack; True means "attend"."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["Mask", "Run"]


class Run(NamedTuple):
    """Texts of one length that follow each other in a single row, and what in each of them may see what (None: all)."""

    texts: int
    length: int
    visible: Bool[Tensor, "1 1 T T"] | None


@dataclass(frozen=True)
class Mask:
    """What may see what, said in words and made a tensor by `build`.

    `keep` marks the real keys of a padded batch; `causal` hides later keys; `window` hides keys that are `window` or
    more positions away (with `causal`: a sliding window of `window` keys, the query's own included); `segments`
    numbers the documents packed into a row, and only equal numbers see each other. `runs` says so of a single row of whole
    texts, (how many, how long) one after the other, and nothing is hidden in vain: it goes with `window` and `causal`.
    """

    keep: Bool[Tensor, "B S"] | None = None
    causal: bool = False
    window: int | None = None
    segments: Int[Tensor, "B S"] | None = None
    runs: Sequence[tuple[int, int]] = ()

    def split(self, *, device: torch.device) -> list[Run]:
        """The runs, with the masks inside their texts."""
        return [Run(texts, length, self.build(length, length, device=device)) for texts, length in self.runs]

    def build(self, queries: int, keys: int, *, device: torch.device) -> Bool[Tensor, "B 1 T S"] | None:
        """The mask for the last `queries` of `keys` positions, broadcastable to (B, H, T, S); None if all is seen.

        With `runs`, it is that of one text, of so many tokens.
        """
        masks = []
        query = torch.arange(keys - queries, keys, device=device)[:, None]  # (T, 1)
        key = torch.arange(keys, device=device)[None, :]  # (1, S)
        if self.causal and queries > 1:
            masks.append((key <= query)[None, None])
        if self.window is not None:
            masks.append(((query - key).abs() < self.window)[None, None])
        if self.keep is not None:
            masks.append(self.keep[:, None, None, :])
        if self.segments is not None:
            masks.append((self.segments[:, -queries:, None] == self.segments[:, None, :])[:, None])
        if not masks:
            return None
        allowed = masks[0]
        for mask in masks[1:]:
            allowed = allowed & mask
        return allowed

    @property
    def only_causal(self) -> bool:
        """Whether a kernel's own causal mask says all of it."""
        return self.causal and self.keep is None and self.window is None and self.segments is None
