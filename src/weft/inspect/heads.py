"""What each head does, in numbers and words that help a newcomer read it."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from weft.inspect.maps import AttentionMaps

__all__ = [
    "Group",
    "Habit",
    "Habits",
    "describe",
    "readable",
    "reading_group",
    "translation_groups",
    "writing_groups",
]

# A habit is worth a word if it takes this share of the weight and this many times what an even spread would
# give.
WORTH = 0.3
ABOVE_EVEN = 2.0
# A head whose entropy is this near to the most possible spreads evenly.
EVEN = 0.9

APOSTROPHES = ("'", "’")
PLACES = {-2: "two back", -1: "previous token", 0: "itself", 1: "next token", 2: "two ahead"}


@dataclass(frozen=True, kw_only=True)
class Group:
    """One kind of attention of a model: the same row tokens and column tokens for all its layers and heads.

    A translation has three; a model that is an encoder or a decoder alone has one. `name` is the group's
    address in the page. Tokens are as a tokenizer spells them. `offset` says where a row's own token
    stands, row t at column t + offset, and is None where rows and columns are different texts. In a
    `causal` group row t sees the columns up to t and no further.
    """

    name: str
    title: str
    about: str
    row_title: str
    column_title: str
    rows: Sequence[str]
    columns: Sequence[str]
    weights: Float[np.ndarray, "L H T S"]
    offset: int | None = None
    causal: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z]+", self.name):
            raise ValueError(
                f"a group's name is lower-case letters, for its address in the page, not {self.name!r}"
            )
        if self.weights.ndim != 4 or self.weights.shape[2:] != (len(self.rows), len(self.columns)):
            raise ValueError(
                f"{self.name}: weights of shape {self.weights.shape} for {len(self.rows)} row tokens "
                f"and {len(self.columns)} column tokens"
            )

    def visible(self) -> Int[np.ndarray, " T"]:
        """How many columns each row can see."""
        rows, columns = len(self.rows), len(self.columns)
        return np.minimum(np.arange(1, rows + 1), columns) if self.causal else np.full(rows, columns)


class Habit(NamedTuple):
    """Where a good part of the weight goes, and how much of it."""

    name: str
    share: float


class Habits(NamedTuple):
    """A head in numbers, averaged over the rows that have a choice.

    `entropy` in bits; `tokens`, 2 to the entropy, is how many tokens it would be if all had the same weight;
    `distance` is the mean one from a row's own token, in tokens, None where rows and columns are different
    texts; `words` says where the head looks.
    """

    entropy: float
    tokens: float
    distance: float | None
    habits: list[Habit]
    words: str


def readable(tokens: Sequence[str]) -> list[str]:
    """Tokens for the eye: the sign of a word's beginning goes; a piece that goes on a word gets a ·.

    A punctuation mark stands against a word, but goes on none, and nothing goes on it.

    >>> readable(["▁Ein", "▁Schnee", "mann", ".", "</s>"])
    ['Ein', 'Schnee', '·mann', '.', '</s>']
    >>> readable(["snow", "##man"])
    ['snow', '·man']
    """
    beginnings_marked = any(token.startswith("▁") for token in tokens)
    shown, inside = [], False  # `inside`: a word may go on here
    for token in tokens:
        ordinary = not (token.startswith("<") and token.endswith(">"))
        if token.startswith("##"):
            shown.append("·" + token.removeprefix("##"))
        elif token.startswith("▁") or not (beginnings_marked and ordinary and inside):
            shown.append(token.removeprefix("▁") or token)
        else:
            shown.append("·" * any(map(_spells, token)) + token)
        inside = ordinary and (_spells(token[-1:]) or token[-1:] in APOSTROPHES)
    return shown


def _spells(character: str) -> bool:
    """Whether a character is a letter, a digit, or a mark on one; nothing is none."""
    return character != "" and unicodedata.category(character)[0] in "LMN"


def describe(weights: Float[np.ndarray, "T S"], *, group: Group) -> Habits:
    """The habits of one head of `group`, or of an average of its heads.

    The entropy is that of Clark et al. (2019, section 3.3).
    """
    visible = group.visible()
    choosing = visible > 1  # a row that sees one token alone says nothing
    if not choosing.any():
        return Habits(entropy=0.0, tokens=1.0, distance=None, habits=[], words="nothing to choose from")
    logarithms = np.log2(weights, where=weights > 0, out=np.zeros(weights.shape))
    entropy = float(-(weights * logarithms).sum(-1)[choosing].mean())
    distance = None
    if group.offset is not None:
        distance = float((weights * np.abs(_ahead(weights, group.offset))).sum(-1)[choosing].mean())
    seen = (np.arange(weights.shape[1]) < visible[:, None]) & choosing[:, None]  # (T, S)
    habits = _habits(weights, seen, group=group)
    words = ", ".join(f"{habit.name} {habit.share:.0%}" for habit in habits)
    evenly = entropy >= EVEN * float(np.log2(visible[choosing]).mean())
    words = words or ("spread evenly" if evenly else "depends on the text")
    return Habits(entropy=entropy, tokens=2.0**entropy, distance=distance, habits=habits, words=words)


def _ahead(weights: np.ndarray, offset: int) -> np.ndarray:
    """How many places each column stands after the row's own token, (T, S)."""
    rows, columns = weights.shape
    places: np.ndarray = np.arange(columns)[None, :] - np.arange(rows)[:, None] - offset
    return places


def _habits(weights: np.ndarray, seen: np.ndarray, *, group: Group) -> list[Habit]:
    """The regions that take a good share of the weight, each over the rows that see it, half at the least."""
    habits = []
    for name, region in _regions(weights, seen, group=group):
        visible = region & seen
        rows = visible.any(-1)
        if not rows.any() or 2 * rows.sum() < seen.any(-1).sum():
            continue
        share = float((weights * visible).sum(-1)[rows].mean())
        even = float((visible.sum(-1)[rows] / seen.sum(-1)[rows]).mean())
        if share >= max(WORTH, ABOVE_EVEN * even):
            habits.append(Habit(name, share))
    return sorted(habits, key=lambda habit: -habit.share)


def _regions(weights: np.ndarray, seen: np.ndarray, *, group: Group) -> Iterator[tuple[str, np.ndarray]]:
    """Where a head may have the habit of looking, each as a name and the cells that belong to it, (T, S)."""
    rows, columns = weights.shape
    if group.offset is None:
        diagonal = np.arange(rows)[:, None] * (columns - 1) / max(rows - 1, 1)
        yield "same place", np.abs(np.arange(columns) - diagonal) <= 1
    else:
        ahead = _ahead(weights, group.offset)
        yield from ((name, ahead == place) for place, name in PLACES.items())
    favourite = int(np.where(seen, weights, 0.0).sum(0).argmax())
    cells = np.broadcast_to(np.arange(columns) == favourite, weights.shape)
    yield f"“{readable(group.columns)[favourite]}”", cells


def translation_groups(
    maps: AttentionMaps, *, start: str, source_tokens: Sequence[str], target_tokens: Sequence[str]
) -> list[Group]:
    """The three kinds of attention of a translation, the one between the languages first.

    `source_tokens` and `target_tokens` are those that `attention` was given, in letters, and `start` is the
    start token.
    """
    read = [start, *target_tokens][:-1]
    cross = Group(
        name="cross",
        title="Between the languages",
        about="Cross-attention: which source tokens the decoder looks at while it writes each token.",
        row_title="writing",
        column_title="looks at the source",
        rows=target_tokens,
        columns=source_tokens,
        weights=maps.cross,
    )
    encoder = Group(
        name="encoder",
        title="Within the source",
        about="The encoder's self-attention: which tokens of the source each of its tokens draws on.",
        row_title="token",
        column_title="looks at",
        rows=source_tokens,
        columns=source_tokens,
        weights=maps.encoder,
        offset=0,
    )
    decoder = Group(
        name="decoder",
        title="Within the translation",
        about="The decoder's self-attention: which tokens it looks back at while it writes the next. "
        "It never sees what is not yet written.",
        row_title="writing",
        column_title="looks back at",
        rows=target_tokens,
        columns=read,
        weights=maps.decoder,
        offset=1,  # what row t writes is read at column t + 1
        causal=True,
    )
    if maps.copied is None:
        return [cross, encoder, decoder]
    pointer = replace(
        cross,
        name="pointer",
        title="What may be copied",
        about="The pointer: which source token would be copied, if one were, at each token that is written.",
        column_title="points at the source",
        weights=maps.copied,
    )
    return [cross, pointer, encoder, decoder]


def writing_groups(
    weights: Float[np.ndarray, "L H T T"],
    *,
    tokens: Sequence[str],
    copied: Float[np.ndarray, "1 1 T T"] | None = None,
) -> list[Group]:
    """The attention of a decoder that reads `tokens`, and where it would copy from, if it has a pointer."""
    own = replace(
        reading_group(weights, tokens=tokens),
        title="Back to what was read",
        about="Self-attention: which tokens up to itself each token draws on.",
        causal=True,
    )
    if copied is None:
        return [own]
    pointer = replace(
        own,
        name="pointer",
        title="What may be copied",
        about="The pointer: how likely each token up to it is copied after each token. "
        "What remains is chosen from the vocabulary.",
        row_title="after",
        column_title="copies",
        weights=copied,
    )
    return [own, pointer]


def reading_group(weights: Float[np.ndarray, "L H T T"], *, tokens: Sequence[str]) -> Group:
    """The one kind of attention of an encoder that reads `tokens`."""
    return Group(
        name="self",
        title="Between the tokens",
        about="Self-attention: which tokens each token draws on.",
        row_title="token",
        column_title="looks at",
        rows=tokens,
        columns=tokens,
        weights=weights,
        offset=0,
    )
