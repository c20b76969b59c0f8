"""Tokens guessed ahead and read together: the same output in fewer steps (Leviathan et al. 2023).

Here a token is what the search takes or draws at its place, guess or no guess: with numbers of its own for each place,
drawing needs no correction. A guess that comes true has only saved a step.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile

import torch
from jaxtyping import Float, Int
from torch import Tensor

from weft.models.decoder import Decoder

__all__ = ["Draft", "Guess", "SpeculativePredictor", "look_up"]

Guess = Callable[[Sequence[int]], list[int]]
"""From all tokens so far to those that may come next; the fewer, the surer."""

GUESSES = 5  # of a draft model: the further ahead, the less likely
COPIED = 10  # from what stands there already: these cost nothing to guess
LONGEST, SHORTEST = 3, 2  # runs of tokens that are looked up


class SpeculativePredictor:
    """A decoder that goes on with one prompt, and reads beside each new token what is guessed to follow it."""

    def __init__(self, model: Decoder, prompts: Int[Tensor, "1 P"], *, capacity: int, guess: Guess) -> None:
        self.model = model
        self.guess = guess
        self.room = prompts.shape[1] + capacity
        self.cache = model.new_cache(self.room)
        self.prompt: list[int] = prompts[0].tolist()
        self.read: list[int] = []  # what is known to stand before the next token
        self.ahead: list[tuple[int, Float[Tensor, "1 V"]]] = []  # guesses, and the logits after each

    def predict(self, tokens: Int[Tensor, "1 1"]) -> Float[Tensor, "1 V"]:
        """The logits after the new token, which were made with its guess, or are made now, with further guesses."""
        new, self.prompt = self.prompt or [int(tokens)], []
        if self.ahead and self.ahead[0][0] == new[-1]:
            token, logits = self.ahead.pop(0)
            self.read.append(token)
            return logits
        self.cache.forget(len(self.read))
        self.read += new
        guessed = self.guess(self.read)[: max(0, self.room - len(self.read))]
        ids = torch.tensor([[*new, *guessed]], device=self.model.device)
        states = self.model(ids, cache=self.cache)[0, len(new) - 1 :]
        logits = self.model.logits(states)[:, None]
        self.ahead = list(zip(guessed, logits[1:], strict=True))
        return logits[0]

    def reorder(self, rows: Int[Tensor, " R"]) -> None:
        """There is one row."""

    def keep(self, sentences: Int[Tensor, " M"]) -> None:
        """There is one sentence."""


class Draft:
    """A smaller decoder that guesses what it would write itself."""

    def __init__(self, model: Decoder, *, room: int) -> None:
        self.model = model
        self.room = min(room, model.config.max_length)
        self.cache = model.new_cache(self.room)
        self.read: list[int] = []

    def __call__(self, tokens: Sequence[int]) -> list[int]:
        """Its own likeliest tokens; none where the text has become too long for it."""
        same = sum(
            1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self.read, tokens, strict=False))
        )
        same = min(same, self.cache.length, len(tokens) - 1)
        self.cache.forget(same)
        self.read = list(tokens)
        new, guessed = list(tokens[same:]), list[int]()
        while len(guessed) < GUESSES and len(self.read) < self.room:
            states = self.model(torch.tensor([new], device=self.model.device), cache=self.cache)
            new = [int(self.model.logits(states[:, -1]).argmax())]
            guessed += new
            if len(guessed) < GUESSES:
                self.read += new
        return guessed


def look_up(tokens: Sequence[int]) -> list[int]:
    """What followed when the last tokens stood there before, the last time they did (Saxena 2023).

    >>> look_up([7, 1, 2, 3, 4, 9, 1, 2])
    [3, 4, 9, 1, 2]
    """
    text = list(tokens)
    for size in range(LONGEST, SHORTEST - 1, -1):
        last = text[-size:]
        for place in range(len(text) - size - 1, -1, -1):
            if text[place : place + size] == last:
                return text[place + size :][:COPIED]
    return []
