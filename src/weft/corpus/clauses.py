"""Draws clauses: who does what, where and when; what things are like; the weather."""

from collections.abc import Callable
from dataclasses import replace

from weft.corpus.choices import Choices
from weft.corpus.meaning import (
    Clause,
    Determiner,
    Mood,
    Negation,
    Person,
    Phrase,
    Pronoun,
    Time,
    Whereabouts,
)
from weft.corpus.phrases import PERSON, SUBJECTS, Phrases
from weft.corpus.words import Adjective, Adverb, Noun, Trait, Verb

__all__ = ["PRESENT_OR_PAST", "TENSES", "Clauses", "eventful", "ordinary", "personal", "reporting"]

PRESENT_OR_PAST = (Mood.PRESENT, Mood.PAST)
TENSES = (Mood.PAST, Mood.PRESENT, Mood.FUTURE)

_ANY_MOOD = (
    (Mood.PAST,) * 36
    + (Mood.PRESENT,) * 28
    + (Mood.FUTURE,) * 12
    + (Mood.CAN,) * 7
    + (Mood.MUST,) * 6
    + (Mood.WANT,) * 6
    + (Mood.LIKE,) * 5
)
_DESCRIBED_MOODS = (Mood.PRESENT,) * 3 + (Mood.PAST,) * 2 + (Mood.FUTURE,)
_LASTING = frozenset(("person", "place"))
_DESCRIBABLE = frozenset(
    ("person", "animal", "food", "drink", "clothing", "thing", "fixture", "work", "place")
)


def ordinary(verb: Verb) -> bool:
    """Whether it makes a clause by itself, with a subject that does something."""
    return not verb.traits & {Trait.CLAUSE, Trait.WEATHER}


def personal(verb: Verb) -> bool:
    """Whether it is a thing that people do."""
    return ordinary(verb) and "person" in verb.subjects


def eventful(verb: Verb) -> bool:
    """Whether something happens, at a time that another event can be told by."""
    return personal(verb) and Trait.STATIVE not in verb.traits


def reporting(verb: Verb) -> bool:
    """Whether "that" follows."""
    return Trait.CLAUSE in verb.traits


def _meteorological(verb: Verb) -> bool:
    return Trait.WEATHER in verb.traits


class Clauses:
    """Clauses around a verb that fits."""

    def __init__(self, choices: Choices, *, phrases: Phrases) -> None:
        self._draw = choices
        self._phrases = phrases

    def action(
        self,
        fits: Callable[[Verb], bool],
        *,
        moods: tuple[Mood, ...] = _ANY_MOOD,
        brief: bool = False,
        affirmative: bool = False,
        subject: Phrase | None = None,
    ) -> Clause:
        """Somebody does something; brief clauses have fewer adjectives, times and places."""
        draw, phrases = self._draw, self._phrases
        verb = draw.verb(fits)
        mood = self._mood(verb, moods)
        negation = Negation.NONE if affirmative or "money" in verb.objects else self._negation(verb, mood)
        subject = subject or phrases.subject(verb.subjects, brief=brief)
        recipient = phrases.recipient(subject, negation=negation) if Trait.RECIPIENT in verb.traits else None
        brief_object = brief or recipient is not None
        patient = phrases.object(verb, subject, mood=mood, negation=negation, brief=brief_object)
        where = self._whereabouts(
            verb, brief=brief or (patient is not None and negation is not Negation.NONE)
        )
        time, frequency = self._when(verb, mood, negation, brief=brief)
        return Clause(
            subject,
            verb,
            mood,
            negation,
            object=patient,
            recipient=recipient,
            frequency=frequency,
            manner=self._manner(verb, subject),
            where=where,
            time=time,
            time_first=time is not None and not brief and draw.chance(0.45),
        )

    def quality(self) -> Clause:
        """What somebody or something is like."""
        draw = self._draw
        mood = draw.pick(_DESCRIBED_MOODS)
        timed = draw.chance(0.35)
        passing = timed or mood is Mood.FUTURE
        if draw.chance(0.25):
            subject: Phrase = Pronoun(draw.pick(SUBJECTS))
            quality = draw.personal_adjective(state=passing)
        else:
            noun, quality = self._noun_and_adjective(_LASTING if timed else _DESCRIBABLE, state=passing)
            subject = self._phrases.noun_phrase(noun, brief=draw.chance(0.6))
        negation = Negation.NOT if draw.chance(0.2) else Negation.NONE
        time = draw.time(mood) if timed else None
        often = quality.state and time is None and negation is Negation.NONE and mood is not Mood.FUTURE
        return Clause(
            _described(subject),
            None,
            mood,
            negation,
            quality=quality,
            frequency=draw.frequency() if often and draw.chance(0.3) else None,
            time=time,
            time_first=time is not None and draw.chance(0.4),
        )

    def weather(self, moods: tuple[Mood, ...]) -> Clause:
        """It rains."""
        draw = self._draw
        mood = draw.pick(moods)
        time = draw.time(mood) if draw.chance(0.7) else None
        negation = Negation.NOT if draw.chance(0.2) else Negation.NONE
        first = time is not None and draw.chance(0.5)
        return Clause(
            Pronoun(Person.IT), draw.verb(_meteorological), mood, negation, time=time, time_first=first
        )

    def _mood(self, verb: Verb, moods: tuple[Mood, ...]) -> Mood:
        mood = self._draw.pick(moods)
        liked = mood is not Mood.LIKE or Trait.ACTIVITY in verb.traits
        willed = mood in TENSES or Trait.ACCIDENT not in verb.traits
        return mood if liked and willed and Trait.STATIVE not in verb.traits else Mood.PRESENT

    def _negation(self, verb: Verb, mood: Mood) -> Negation:
        """Not "has to", which does not become "ne doit pas", nor liking to eat an apple: each its own way."""
        if mood is Mood.MUST or (mood is Mood.LIKE and verb.objects):
            return Negation.NONE
        if mood in TENSES and self._draw.chance(0.06):
            return Negation.NEVER
        return Negation.NOT if self._draw.chance(0.21) else Negation.NONE

    def _when(
        self, verb: Verb, mood: Mood, negation: Negation, *, brief: bool
    ) -> tuple[Time | None, Adverb | None]:
        """A time, or how often; seldom both wanted, and never with "never"."""
        draw = self._draw
        if negation is Negation.NEVER or Trait.STATIVE in verb.traits or mood is Mood.LIKE:
            return None, None
        if draw.chance(0.08 if brief else 0.42):
            time = draw.time(mood)
            habit = isinstance(time, Adverb) and "habit" in time.moods
            return (None if habit and negation is Negation.NOT else time), None
        if negation is Negation.NONE and mood in PRESENT_OR_PAST and draw.chance(0.18):
            return None, draw.frequency()
        return None, None

    def _manner(self, verb: Verb, subject: Phrase) -> Adverb | None:
        if not verb.manners or not self._draw.chance(0.25):
            return None
        manner = self._draw.manner(verb)
        return manner if subject.plural or manner.en != "together" else None

    def _whereabouts(self, verb: Verb, *, brief: bool) -> Whereabouts | None:
        draw = self._draw
        if Trait.GOAL in verb.traits:
            return self._phrases.whereabouts(draw.goal(), goal=True)
        if not verb.places or not (Trait.PLACE in verb.traits or draw.chance(0.1 if brief else 0.3)):
            return None
        return self._phrases.whereabouts(draw.place(verb.places))

    def _noun_and_adjective(self, tags: frozenset[str], *, state: bool) -> tuple[Noun, Adjective]:
        while True:
            noun = self._draw.noun(PERSON if self._draw.chance(0.3) else tags)
            adjective = self._draw.adjective(noun, state=state)
            if adjective:
                return noun, adjective


def _described(phrase: Phrase) -> Phrase:
    """Something definite, one describes the lamp rather than a lamp, and not described already."""
    if isinstance(phrase, Pronoun):
        return phrase
    definite = Determiner.THE if phrase.determiner is Determiner.A else phrase.determiner
    return replace(
        phrase, determiner=definite, adjective=None, count=phrase.count if phrase.count <= 12 else 0
    )
