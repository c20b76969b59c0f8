"""A text told piece by piece while it is written."""

import math
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["CONTEXT", "Rule", "Writer", "cut", "stop_at"]

Rule = Callable[[Any, Any], Any]
"""Given each row's tokens (B, T) and scores (B, V), in torch or in numpy, what the scores are to be."""

CONTEXT = 8  # tokens before others that tell how these are written


def cut(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of the stop strings in it."""
    return text[: min((place for stop in stops if (place := text.find(stop)) >= 0), default=len(text))]


class Writer:
    """Tokens as text as soon as their characters are whole, and no stop string can begin in them."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        tell: Callable[[str], None],
        *,
        prompt: Sequence[int],
        stops: Sequence[str],
    ) -> None:
        self.decode = decode
        self.tell = tell
        self.stops = stops
        self.held = max(map(len, stops), default=1) - 1  # characters that may be the beginning of one
        self.tokens = list(prompt[-CONTEXT:])
        self.read = len(self.tokens)  # of these the text is known
        self.begins = [0]  # where pieces of text begin, of which a decoder may need the whole
        self.waiting = ""
        self.over = False

    def add(self, token: int) -> None:
        self.tokens.append(token)
        text = self._new()
        if not text.endswith("\ufffd"):
            self._hear(text, hold=self.held)

    def finish(self) -> None:
        self._hear(self._new(), hold=0)

    def _new(self) -> str:
        """What the tokens say that have not been heard, after the few before them."""
        before = self.decode(self.tokens[: self.read])
        return self.decode(self.tokens)[len(before) :]

    def _hear(self, text: str, *, hold: int) -> None:
        self.waiting += text
        self.read = len(self.tokens)
        self.begins.append(self.read)
        first = max(begin for begin in self.begins if begin == 0 or self.read - begin >= CONTEXT)
        self.tokens, self.read = self.tokens[first:], self.read - first
        self.begins = [begin - first for begin in self.begins if begin >= first]
        if self.over:
            return
        said = cut(self.waiting, self.stops)
        self.over = len(said) < len(self.waiting)
        if not self.over:
            said = said[: max(0, len(said) - hold)]
        self.waiting = self.waiting[len(said) :]
        if said:
            self.tell(said)


def stop_at(ends: Callable[[list[int]], bool], *, last: int, end: int) -> Rule:
    """A rule by which the end token alone may follow a text of whose `last` tokens, without the start, `ends` is true."""

    def stop(tokens: Any, scores: Any) -> Any:
        for row, written in enumerate(tokens[:, 1:][:, -last:].tolist()):
            if written and ends(written):
                scores[row] = -math.inf
                scores[row, end] = 0.0
        return scores

    return stop
