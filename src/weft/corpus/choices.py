"""Draws words from the lexicon: the classes say what fits, the order of the tables how often."""

from bisect import bisect
from collections.abc import Callable, Iterable
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

from weft.corpus.meaning import Date, Hour, Mood, Time, Weekday
from weft.corpus.words import Adjective, Adverb, AdverbKind, Lexicon, Noun, Place, Verb

__all__ = ["Choices", "Ranked"]

T = TypeVar("T")

_FIRST = 1.0  # Zipf's law counts ranks from 1
_MODALS = (Mood.CAN, Mood.MUST, Mood.WANT)
_TIMED = (Mood.PAST, Mood.FUTURE, *_MODALS)


class Ranked(Generic[T]):
    """Things to draw from, the one at rank r with a weight of 1 / (r + 1)."""

    def __init__(self, items: Iterable[T], *, rank: Callable[[T], int] | None = None) -> None:
        self._items = list(items)
        ranks = [rank(item) if rank else index for index, item in enumerate(self._items)]
        self._bounds = list(accumulate(1 / (place + _FIRST) for place in ranks))

    def __bool__(self) -> bool:
        return bool(self._items)

    def draw(self, random: Random) -> T:
        """One of them."""
        return self._items[bisect(self._bounds, random.random() * self._bounds[-1])]


class Choices:
    """The lexicon as a source of random words; all that it draws follows from the state of `random`."""

    def __init__(self, words: Lexicon, *, random: Random) -> None:
        self.words = words
        self._random = random
        self._rank = _ranks(words.nouns)
        self._nouns: dict[frozenset[str], Ranked[Noun]] = {}
        self._places: dict[frozenset[str], Ranked[Place]] = {}
        self._adjectives = {noun: Ranked(_fitting(words.adjectives, noun)) for noun in words.nouns}
        self._states = {
            noun: Ranked(a for a in _fitting(words.adjectives, noun) if a.state) for noun in words.nouns
        }
        self._personal = [a for a in words.adjectives if "person" in a.tags]
        self._personal_states = Ranked(a for a in self._personal if a.state)
        self._personal_all = Ranked(self._personal)
        self._goals = Ranked(place for place in words.places if place.de_to)
        self._verbs: dict[Callable[[Verb], bool], Ranked[Verb]] = {}
        self._times = {
            mood: Ranked(
                a for a in words.adverbs if a.kind is AdverbKind.TIME and _mood_name(mood) in a.moods
            )
            for mood in Mood
        }
        self._frequencies = Ranked(a for a in words.adverbs if a.kind is AdverbKind.FREQUENCY)
        self._manners = {a.en: a for a in words.adverbs if a.kind is AdverbKind.MANNER}

    def chance(self, probability: float) -> bool:
        """True that often."""
        return self._random.random() < probability

    def pick(self, items: tuple[T, ...] | list[T]) -> T:
        """Any one of them."""
        return items[int(self._random.random() * len(items))]

    def noun(self, tags: frozenset[str]) -> Noun:
        """A noun of any of these classes."""
        if tags not in self._nouns:
            fitting = [noun for noun in self.words.nouns if tags & noun.tags]
            self._nouns[tags] = Ranked(fitting, rank=self._rank.__getitem__)
        return self._nouns[tags].draw(self._random)

    def adjective(self, noun: Noun, *, state: bool = False) -> Adjective | None:
        """An adjective for a noun, if there is one; if asked, one that tells a passing state."""
        table = (self._states if state else self._adjectives)[noun]
        return table.draw(self._random) if table else None

    def personal_adjective(self, *, state: bool) -> Adjective:
        """An adjective for a person."""
        return (self._personal_states if state else self._personal_all).draw(self._random)

    def place(self, tags: frozenset[str]) -> Place:
        """A place of any of these classes."""
        if tags not in self._places:
            self._places[tags] = Ranked(place for place in self.words.places if tags & place.noun.tags)
        return self._places[tags].draw(self._random)

    def goal(self) -> Place:
        """A place to go to."""
        return self._goals.draw(self._random)

    def verb(self, fits: Callable[[Verb], bool]) -> Verb:
        """A verb for which `fits`, a function of the module, holds."""
        if fits not in self._verbs:
            rank = {verb: index for index, verb in enumerate(self.words.verbs)}
            self._verbs[fits] = Ranked(filter(fits, self.words.verbs), rank=rank.__getitem__)
        return self._verbs[fits].draw(self._random)

    def manner(self, verb: Verb) -> Adverb:
        """A way of doing it."""
        return self._manners[self.pick(sorted(verb.manners))]

    def frequency(self) -> Adverb:
        """How often."""
        return self._frequencies.draw(self._random)

    def time(self, mood: Mood) -> Time | None:
        """A time that a mood can be said of, if there is one."""
        if mood is Mood.LIKE:
            return None
        if mood in _TIMED:
            kind = self._random.random()
            if kind < 0.2 and mood not in _MODALS:
                return Date(int(self._random.random() * 28) + 1, self.pick(self.words.months))
            if kind < 0.4:
                return Weekday(self.pick(self.words.weekdays))
            if kind < 0.5:
                return Hour(int(self._random.random() * 12) + 1)
        return self._times[mood].draw(self._random)

    def number(self, *, at_least: int = 2, at_most: int = 99) -> int:
        """A number, mostly a small one."""
        if at_least == 2 and self.chance(0.75):
            at_most = min(at_most, 12)
        return at_least + int(self._random.random() * (at_most - at_least + 1))


def _ranks(nouns: Iterable[Noun]) -> dict[Noun, int]:
    """Each noun's rank within the first of its classes."""
    seen: dict[str, int] = {}
    ranks = {}
    for noun in nouns:
        ranks[noun] = seen.get(noun.kind, 0)
        seen[noun.kind] = ranks[noun] + 1
    return ranks


def _fitting(adjectives: Iterable[Adjective], noun: Noun) -> list[Adjective]:
    return [adjective for adjective in adjectives if adjective.tags & noun.tags]


def _mood_name(mood: Mood) -> str:
    return "modal" if mood in _MODALS else mood.value
