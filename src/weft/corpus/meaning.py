"""What a sentence says, apart from any language: the tree that three realisers turn into words."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import NamedTuple

from weft.corpus.words import Adjective, Adverb, CalendarWord, Noun, Place, Verb

__all__ = [
    "Clause",
    "Date",
    "Determiner",
    "Existence",
    "Gap",
    "Hour",
    "Link",
    "Mood",
    "Negation",
    "NounPhrase",
    "Pairing",
    "Person",
    "Phrase",
    "Pronoun",
    "Question",
    "Relative",
    "Sentence",
    "Time",
    "Weekday",
    "Whereabouts",
]


class Person(IntEnum):
    """Who; the value is the place in the realisers' tables of pronouns."""

    I = 0  # noqa: E741  the pronoun
    YOU = 1  # one person, spoken to as a friend: du, tu
    HE = 2
    SHE = 3
    IT = 4
    WE = 5
    THEY = 6


class Mood(Enum):
    """Tense or modality. German and French have one everyday past for deeds, and so English uses one."""

    PRESENT = "present"
    PAST = "past"
    FUTURE = "future"
    CAN = "can"
    MUST = "must"
    WANT = "want"
    LIKE = "like"  # likes to dance, tanzt gern, aime danser


class Negation(Enum):
    """Whether and how a clause is denied."""

    NONE = 0
    NOT = 1
    NEVER = 2


class Determiner(Enum):
    """What stands before the noun; `A` has a plural, "apples", "Äpfel", "des pommes"."""

    A = 0
    THE = 1
    THIS = 2
    MY = 3
    YOUR = 4
    OUR = 5
    HIS = 6  # his, her and their always speak of the clause's subject
    HER = 7
    THEIR = 8
    HOW_MANY = 9


class Question(Enum):
    """What a question asks for."""

    WHETHER = 0
    WHAT = 1
    WHO = 2
    WHERE = 3
    WHEN = 4
    WHY = 5
    HOW_MANY = 6  # the object is asked for, its determiner says so


class Link(Enum):
    """How a second clause hangs on the first."""

    AND = 0
    BUT = 1
    THAT = 2
    BECAUSE = 3
    WHEN = 4
    WHILE = 5


class Gap(Enum):
    """What the noun before a relative clause does in it."""

    SUBJECT = 0
    OBJECT = 1


@dataclass(frozen=True, slots=True)
class Pronoun:
    """A personal pronoun as subject, object or recipient."""

    person: Person

    @property
    def plural(self) -> bool:
        """Whether it speaks of several."""
        return self.person >= Person.WE


@dataclass(frozen=True, slots=True)
class NounPhrase:
    """A noun with all that hangs on it; a `count` of nought means that none is said."""

    noun: Noun
    determiner: Determiner
    plural: bool = False
    adjective: Adjective | None = None
    count: int = 0
    owner: "NounPhrase | None" = None
    relative: "Relative | None" = None

    @property
    def person(self) -> Person:
        """The person that a verb agrees with."""
        return Person.THEY if self.plural else Person.IT


Phrase = Pronoun | NounPhrase


@dataclass(frozen=True, slots=True)
class Relative:
    """A relative clause; its subject is the head itself where the gap is the subject's."""

    clause: "Clause"
    gap: Gap


@dataclass(frozen=True, slots=True)
class Date:
    """On a day of a month."""

    day: int
    month: CalendarWord


@dataclass(frozen=True, slots=True)
class Weekday:
    """On a day of the week."""

    day: CalendarWord


@dataclass(frozen=True, slots=True)
class Hour:
    """At an hour, from one to twelve."""

    hour: int


Time = Adverb | Date | Weekday | Hour


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """At a place, or to it."""

    place: Place
    phrase: NounPhrase
    goal: bool = False


@dataclass(frozen=True, slots=True)
class Clause:
    """A subject and what it does; without a verb, what it is like (`quality`) or its `age` in years."""

    subject: Phrase
    verb: Verb | None
    mood: Mood
    negation: Negation = Negation.NONE
    object: Phrase | None = None
    recipient: Phrase | None = None
    quality: Adjective | None = None
    age: int = 0
    frequency: Adverb | None = None
    manner: Adverb | None = None
    where: Whereabouts | None = None
    time: Time | None = None
    time_first: bool = False
    habit: bool = False  # in the present, whether it happens again and again rather than now


@dataclass(frozen=True, slots=True)
class Existence:
    """There is something somewhere; the mood is the present or the past."""

    phrase: NounPhrase
    where: Whereabouts
    mood: Mood
    negation: Negation = Negation.NONE


@dataclass(frozen=True, slots=True)
class Sentence:
    """One clause, or two with a link between them, the second said first where `other_first`."""

    main: Clause | Existence
    question: Question | None = None
    link: Link | None = None
    other: Clause | None = None
    other_first: bool = False


class Pairing(NamedTuple):
    """Two lemmas that meet, by their English names: adjective and noun, verb and subject, verb and object."""

    kind: str
    first: str
    second: str


def pairings(sentence: Sentence) -> Iterator[Pairing]:
    """Every adjective with its noun, every verb with the nouns of its subject and object."""
    if isinstance(sentence.main, Existence):
        yield from _of_phrase(sentence.main.phrase)
        yield from _of_phrase(sentence.main.where.phrase)
    else:
        yield from _of_clause(sentence.main)
    if sentence.other:
        yield from _of_clause(sentence.other)


def _of_clause(clause: Clause) -> Iterator[Pairing]:
    subject, patient = clause.subject, clause.object
    if isinstance(subject, NounPhrase):
        if clause.verb:
            yield Pairing("subject", subject.noun.en.singular, clause.verb.name)
        if clause.quality:
            yield Pairing("adjective", clause.quality.en, subject.noun.en.singular)
        yield from _of_phrase(subject)
    if isinstance(patient, NounPhrase):
        assert clause.verb
        if patient.noun.kind != "money":  # prices have one unit, which no split can hold out
            yield Pairing("object", clause.verb.name, patient.noun.en.singular)
        yield from _of_phrase(patient)
    if clause.where:
        yield from _of_phrase(clause.where.phrase)


def _of_phrase(phrase: NounPhrase) -> Iterator[Pairing]:
    if phrase.adjective:
        yield Pairing("adjective", phrase.adjective.en, phrase.noun.en.singular)
    if phrase.relative:
        yield from _of_clause(phrase.relative.clause)
        if phrase.relative.gap is Gap.OBJECT:
            assert phrase.relative.clause.verb
            yield Pairing("object", phrase.relative.clause.verb.name, phrase.noun.en.singular)
