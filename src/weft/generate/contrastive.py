"""Contrastive search (Su et al. 2022): likely tokens, but none that would bring the model where it has been."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from weft.generate.config import SearchConfig
from weft.generate.predictor import DecoderPredictor, RecurrentPredictor

__all__ = ["ContrastivePredictor"]

CANDIDATES = 4  # as the paper has it for most of its experiments


class ContrastivePredictor:
    """A model that reads each likely token before one of them is chosen, and remembers the states of those that were."""

    def __init__(self, reader: DecoderPredictor | RecurrentPredictor, config: SearchConfig) -> None:
        self.reader = reader
        self.weight = config.contrast
        self.count = config.top_k or CANDIDATES
        self.states: Float[Tensor, "B T D"] | None = None  # each of length one
        self.logits: Float[Tensor, "B V"]

    def predict(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B V"]:
        """The logits after the prompts, or after the tokens that were chosen, which have been read by then."""
        if self.states is None:
            states = self.reader.read(tokens)
            self.states = normalize(states.float(), dim=-1)
            self.logits = self.reader.score(states[:, -1])
        return self.logits

    def choose(self, scores: Float[Tensor, "B V"]) -> Int[Tensor, " B"]:
        """Of each row's likeliest tokens the one of the highest (1 − α) p − α max cos(h, h′), with h the state that it would
        bring and h′ those before it (section 3.2, equation 5)."""
        assert self.states is not None  # something was predicted
        rows = torch.arange(len(scores), device=scores.device)
        likely = scores.softmax(-1).topk(min(self.count, scores.shape[-1]))
        count = likely.indices.shape[1]
        self.reader.reorder(rows.repeat_interleave(count))
        states = self.reader.read(likely.indices.reshape(-1, 1))[:, -1]
        looks = normalize(states.float(), dim=-1).view(len(scores), count, -1)
        alike = (looks @ self.states.transpose(1, 2)).amax(-1)  # (B, K)
        worth = (1 - self.weight) * likely.values - self.weight * alike
        best = worth.masked_fill(likely.values == 0, -torch.inf).argmax(1)
        chosen = rows * count + best
        self.reader.reorder(chosen)
        self.states = torch.cat([self.states, looks[rows, best][:, None]], dim=1)
        self.logits = self.reader.score(states[chosen])
        return likely.indices[rows, best]

    def reorder(self, rows: Int[Tensor, " R"]) -> None:
        """Move what is remembered."""
        assert self.states is not None
        self.reader.reorder(rows)
        self.states, self.logits = self.states[rows], self.logits[rows]

    def keep(self, sentences: Int[Tensor, " M"]) -> None:
        """Nothing is remembered by sentence."""
