"""Vectors of the last few tokens together, beside those of the last one."""

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import functional

from weft.config import HASH_FACTOR, HASH_PRIME, ModelConfig, NgramVectors
from weft.nn.dropout import drop

__all__ = ["NgramEmbedding", "make_ngrams"]


def make_ngrams(config: ModelConfig) -> "NgramEmbedding | None":
    """What a model knows of n-grams, if anything."""
    if config.ngrams is None or not config.knows_ngrams:
        return None
    return NgramEmbedding(config.ngrams, width=config.width)


class NgramEmbedding(nn.Module):
    """The sum of one vector for each of the last two, three, … tokens (Huang et al. 2025, section 3.1).

    An n-gram's vector stands in a row of its length's table that a hash of the tokens chooses: frequent ones have a row to
    themselves in effect, since each row is what those make of it that it meets most often. All begin at zero, so that what
    was never met says nothing. In training, dropout leaves out whole n-grams, so that the shorter ones and the layers learn
    what the longest, each met but a few times, would otherwise know by heart.
    """

    def __init__(self, config: NgramVectors, *, width: int) -> None:
        super().__init__()
        self.longest = config.longest
        self.rows = config.rows
        self.dropout = config.dropout
        self.table = nn.EmbeddingBag((config.longest - 1) * config.rows, width, mode="sum")

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        before: Int[Tensor, "B P"] | None = None,
        positions: Int[Tensor, "B T"] | None = None,
    ) -> Tensor:
        """(B, T, D). `before` are the tokens that stand before the first one; where `positions` begin anew in a row,
        another text begins, whose tokens stand behind no others."""
        rows = self.find(ids, before=before, positions=positions)
        weights = None
        if self.training and self.dropout:
            weights = drop(torch.ones_like(rows, dtype=self.table.weight.dtype), self.dropout).flatten(0, 1)
        vectors: Tensor = self.table(rows.flatten(0, 1), per_sample_weights=weights)
        return vectors.view(*ids.shape, -1)

    def find(
        self,
        ids: Int[Tensor, "B T"],
        *,
        before: Int[Tensor, "B P"] | None = None,
        positions: Int[Tensor, "B T"] | None = None,
    ) -> Int[Tensor, "B T N"]:
        """The table's rows of the n-grams that end with each token, from the pairs up."""
        length, past = ids.shape[1], self.longest - 1
        numbers = ids + 1  # 0 stands where there is no token
        if before is not None:
            numbers = torch.cat([before[:, -past:] + 1, numbers], dim=1)
        numbers = functional.pad(numbers, (max(0, past + length - numbers.shape[1]), 0))
        hashed, found = numbers[:, past:], []
        for back in range(1, self.longest):
            tokens = numbers[:, past - back : past - back + length]
            if positions is not None:
                tokens = torch.where(positions < back, 0, tokens)
            hashed = (hashed * HASH_FACTOR + tokens) % HASH_PRIME
            found.append(hashed % self.rows + (back - 1) * self.rows)
        return torch.stack(found, dim=-1)
