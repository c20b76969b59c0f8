"""What shapes the scores of the next token: pure rules on the tokens so far (the start included) and them.

A rule may write into the scores that it is given, and returns them; -inf forbids a token.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from weft.config import SpecialTokens
from weft.generate.config import SearchConfig

__all__ = [
    "Processor",
    "add_bias",
    "ban_repeated_ngrams",
    "ban_words",
    "delay_end",
    "force_end",
    "penalise_repetition",
    "renormalise",
    "rules_of_length",
    "rules_of_repetition",
]

Processor = Callable[[Int[Tensor, "B T"], Float[Tensor, "B V"]], Float[Tensor, "B V"]]


def rules_of_repetition(config: SearchConfig, *, device: torch.device) -> list[Processor]:
    """The rules on what stands before a token, a prompt included, in Hugging Face's order."""
    processors: list[Processor] = []
    if config.repetition_penalty != 1.0:
        processors.append(partial(penalise_repetition, penalty=config.repetition_penalty))
    if config.no_repeat_ngram:
        processors.append(partial(ban_repeated_ngrams, size=config.no_repeat_ngram))
    if config.banned:
        words = [torch.tensor(word, device=device) for word in config.banned]
        processors.append(partial(ban_words, words=words))
    return processors


def rules_of_length(config: SearchConfig, special: SpecialTokens, *, limit: int) -> list[Processor]:
    """The rules on how much has been written; `limit` is the maximum length."""
    processors: list[Processor] = []
    if config.min_length > 1:
        processors.append(partial(delay_end, length=config.min_length, end=special.end))
    if config.force_end:
        processors.append(partial(force_end, length=limit, end=special.end))
    if config.renormalise:
        processors.append(renormalise)
    return processors


def penalise_repetition(
    tokens: Int[Tensor, "B T"], scores: Float[Tensor, "B V"], *, penalty: float
) -> Float[Tensor, "B V"]:
    """Tokens that came before score s · penalty below zero, s / penalty above (Keskar et al. 2019, 4.1)."""
    seen = scores.gather(1, tokens)
    return scores.scatter_(1, tokens, torch.where(seen < 0, seen * penalty, seen / penalty))


def ban_repeated_ngrams(
    tokens: Int[Tensor, "B T"], scores: Float[Tensor, "B V"], *, size: int
) -> Float[Tensor, "B V"]:
    """No `size` tokens in a row come twice (Paulus et al. 2018, section 2.5)."""
    length = tokens.shape[1]
    if length < size:
        return scores
    ngrams = tokens.unfold(1, size, 1)  # (B, T - size + 1, size)
    begun = tokens[:, None, length - size + 1 :]  # (B, 1, size - 1)
    rows, places = (ngrams[..., :-1] == begun).all(-1).nonzero(as_tuple=True)
    scores[rows, ngrams[rows, places, -1]] = -math.inf
    return scores


def ban_words(
    tokens: Int[Tensor, "B T"], scores: Float[Tensor, "B V"], *, words: Sequence[Int[Tensor, "..."]]
) -> Float[Tensor, "B V"]:
    """No word, each a sequence of tokens, is ever completed."""
    for word in words:
        if len(word) <= tokens.shape[1] + 1:
            scores[_begun(tokens, word), word[-1]] = -math.inf
    return scores


def _begun(tokens: Int[Tensor, "B T"], word: Int[Tensor, " N"]) -> Bool[Tensor, " B"]:
    """The rows that end with all of a word but its last token."""
    return (tokens[:, tokens.shape[1] - len(word) + 1 :] == word[:-1]).all(-1)


def add_bias(
    tokens: Int[Tensor, "B T"],
    scores: Float[Tensor, "B V"],
    *,
    bias: Sequence[tuple[Int[Tensor, "..."], float]],
) -> Float[Tensor, "B V"]:
    """Each word, a sequence of tokens, scores so much more where its last token would complete it."""
    for word, value in bias:
        if len(word) <= tokens.shape[1] + 1:
            scores[_begun(tokens, word), word[-1]] += value
    return scores


def delay_end(
    tokens: Int[Tensor, "B T"], scores: Float[Tensor, "B V"], *, length: int, end: int
) -> Float[Tensor, "B V"]:
    """No output of fewer than `length` tokens, the end included."""
    if tokens.shape[1] < length:  # the start token stands for the end that would come now
        scores[:, end] = -math.inf
    return scores


def force_end(
    tokens: Int[Tensor, "B T"], scores: Float[Tensor, "B V"], *, length: int, end: int
) -> Float[Tensor, "B V"]:
    """The last of `length` tokens is the end, at no cost."""
    if tokens.shape[1] == length:
        scores.fill_(-math.inf)
        scores[:, end] = 0.0
    return scores


def renormalise(tokens: Int[Tensor, "B T"], scores: Float[Tensor, "B V"]) -> Float[Tensor, "B V"]:
    """The probabilities of what may come sum to one again; a row in which nothing may come stays as it is."""
    return scores - scores.logsumexp(-1, keepdim=True).nan_to_num(neginf=0.0)
