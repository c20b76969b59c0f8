"""Keys and values kept from one decoding step to the next. Passed in, never stored on a module."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["KVCache", "LayerCache"]


class LayerCache:
    """One layer's keys and values: of the tokens so far, in preallocated space, and of the encoder's memory."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self.memory: Sequence[tuple[Tensor, Tensor]] | None = None  # one for each length of source
        self._kept: Tensor | None = None  # keys and values, (2, B, G, capacity, K)
        self._spare: Tensor | None = None  # where `reorder` writes, by turns: new memory is dear

    def extend(
        self, keys: Float[Tensor, "B G T K"], values: Float[Tensor, "B G T K"]
    ) -> tuple[Float[Tensor, "B G S K"], Float[Tensor, "B G S K"]]:
        """Append the new tokens' keys and values and give back those of all tokens so far."""
        rows, groups, new, head_width = keys.shape
        if self._kept is None:
            self._kept = keys.new_empty(2, rows, groups, self.capacity, head_width)
        start, self.length = self.length, self.length + new
        self._kept[0, :, :, start : self.length] = keys
        self._kept[1, :, :, start : self.length] = values
        return self._kept[0, :, :, : self.length], self._kept[1, :, :, : self.length]

    def reorder(self, rows: Int[Tensor, " R"]) -> None:
        """Keep these rows of the tokens so far, in this order; a row may come more than once."""
        if self._kept is None:
            return
        if self._spare is None or self._spare.shape[1] < len(rows):
            self._spare = self._kept.new_empty(2, len(rows), *self._kept.shape[2:])
        moved = self._spare[:, : len(rows)]
        for old, new in zip(self._kept, moved, strict=True):
            torch.index_select(old[:, :, : self.length], 0, rows, out=new[:, :, : self.length])
        self._kept, self._spare = moved, self._kept

    def keep_memory(self, rows: Sequence[Int[Tensor, " _"]]) -> None:
        """Keep these rows of each of the encoder's memories; one that keeps no rows is gone."""
        if self.memory is not None:
            self.memory = [
                (k, v) if len(some) == len(k) else (k.index_select(0, some), v.index_select(0, some))
                for (k, v), some in zip(self.memory, rows, strict=True)
                if len(some)
            ]


class KVCache:
    """The caches of a stack's layers, each with room for `capacity` tokens; and these, where the model asks for them."""

    def __init__(self, layers: int, *, capacity: int) -> None:
        self.layers = [LayerCache(capacity) for _ in range(layers)]
        self._tokens: Int[Tensor, "B S"] | None = None

    @property
    def length(self) -> int:
        """How many tokens are held."""
        return self.layers[0].length

    def remember(self, ids: Int[Tensor, "B T"]) -> Int[Tensor, "B S"]:
        """Append the new tokens, before the layers read them, and give back those that stand before them."""
        before = ids[:, :0] if self._tokens is None else self._tokens[:, : self.length]
        self._tokens = torch.cat([before, ids], dim=1)
        return before

    def forget(self, length: int) -> None:
        """Only the first `length` tokens were read."""
        for layer in self.layers:
            layer.length = length

    def reorder(self, rows: Int[Tensor, " R"]) -> None:
        if self._tokens is not None:
            self._tokens = self._tokens.index_select(0, rows)
        for layer in self.layers:
            layer.reorder(rows)

    def keep_memory(self, rows: Sequence[Int[Tensor, " _"]]) -> None:
        for layer in self.layers:
            layer.keep_memory(rows)
