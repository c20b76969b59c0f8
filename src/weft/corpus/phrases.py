"""Draws noun phrases and pronouns for each role in a clause."""

from dataclasses import replace

from weft.corpus.choices import Choices
from weft.corpus.meaning import Determiner, Mood, Negation, NounPhrase, Person, Phrase, Pronoun, Whereabouts
from weft.corpus.words import Noun, Place, Trait, Verb

__all__ = ["PERSON", "SUBJECTS", "Phrases", "same", "third_person"]

PERSON = frozenset(("person",))
SUBJECTS = (Person.I, Person.YOU, Person.HE, Person.SHE, Person.WE, Person.THEY)

_OBJECTS = (Person.I, Person.YOU, Person.HE, Person.WE)  # "her" and "them" are both "sie" in German
_RECIPIENTS = (Person.I, Person.YOU, Person.WE)  # "him" and "her" are both "lui" in French
_FIRST = (Person.I, Person.WE)
_SEXES = {"m": Person.HE, "f": Person.SHE}
_POSSESSIVES = (Determiner.MY, Determiner.YOUR, Determiner.OUR)
_OWN = {
    Person.I: Determiner.MY,
    Person.YOU: Determiner.YOUR,
    Person.HE: Determiner.HIS,
    Person.SHE: Determiner.HER,
    Person.WE: Determiner.OUR,
    Person.THEY: Determiner.THEIR,
}
_OWNED = frozenset(
    ("family", "kin", "pet", "clothing", "thing", "house", "office", "garden", "kitchen", "work")
)


class Phrases:
    """Phrases for subjects, objects, recipients and places."""

    def __init__(self, choices: Choices) -> None:
        self._draw = choices

    def subject(self, tags: frozenset[str], *, brief: bool = False, pronouns: bool = True) -> Phrase:
        """Somebody of these classes; never one that starts a sentence with a bare noun or a number."""
        draw = self._draw
        if pronouns and "person" in tags and draw.chance(0.45 if brief else 0.28):
            return Pronoun(draw.pick(SUBJECTS))
        phrase = self.noun_phrase(draw.noun(tags), brief=brief)
        if phrase.determiner is not Determiner.A or (not phrase.plural and phrase.noun.countable):
            return phrase
        return replace(phrase, determiner=Determiner.THE, count=phrase.count if phrase.count <= 12 else 0)

    def object(
        self, verb: Verb, subject: Phrase, *, mood: Mood, negation: Negation, brief: bool = False
    ) -> Phrase | None:
        """What the verb is done to, if it takes an object."""
        draw = self._draw
        if not verb.objects:
            return None
        if Trait.PRONOUN in verb.traits and mood is not Mood.LIKE and draw.chance(0.36):
            return self._pronoun(_OBJECTS, subject)
        noun = draw.noun(verb.objects)
        while isinstance(subject, NounPhrase) and noun is subject.noun:
            noun = draw.noun(verb.objects)
        if "money" in noun.tags:
            return NounPhrase(noun, Determiner.A, plural=True, count=draw.number(at_least=10))
        phrase = self.noun_phrase(noun, brief=brief)
        if mood is Mood.LIKE:
            return NounPhrase(noun, Determiner.A, plural=noun.countable, adjective=phrase.adjective)
        return _fitting(self._own(phrase, subject), verb, negation)

    def recipient(self, subject: Phrase, *, negation: Negation) -> Phrase:
        """Somebody who is given something, and who is known if it is denied."""
        if self._draw.chance(0.4):
            return self._pronoun(_RECIPIENTS, subject)
        phrase = self.subject(PERSON, brief=True, pronouns=False)
        while same(phrase, subject):
            phrase = self.subject(PERSON, brief=True, pronouns=False)
        assert isinstance(phrase, NounPhrase)
        known = negation is not Negation.NONE and phrase.determiner is Determiner.A
        determiner = Determiner.THE if known else phrase.determiner
        return replace(phrase, determiner=determiner, adjective=None, count=0)

    def noun_phrase(self, noun: Noun, *, brief: bool = False) -> NounPhrase:
        """A noun with a determiner, and perhaps an adjective, a number or an owner."""
        draw = self._draw
        plural = noun.countable and "parent" not in noun.tags and draw.chance(0.3)
        determiner = self._determiner(noun)
        count, owner = 0, None
        if plural and determiner is Determiner.A and draw.chance(0.5):
            count = draw.number(at_most=12 if "person" in noun.tags else 99)
        elif determiner is Determiner.THE and noun.tags & _OWNED and not brief and draw.chance(0.3):
            owner = self._owner(noun)
        adjective = draw.adjective(noun) if draw.chance(0.15 if brief or count or owner else 0.45) else None
        return NounPhrase(noun, determiner, plural=plural, adjective=adjective, count=count, owner=owner)

    def whereabouts(self, place: Place, *, goal: bool = False) -> Whereabouts:
        """At a place or to it."""
        draw = self._draw
        determiner = Determiner.THE
        if place.noun.tags & _OWNED and draw.chance(0.3):
            determiner = draw.pick(_POSSESSIVES)
        adjective = draw.adjective(place.noun) if draw.chance(0.15) else None
        return Whereabouts(place, NounPhrase(place.noun, determiner, adjective=adjective), goal=goal)

    def _determiner(self, noun: Noun) -> Determiner:
        draw = self._draw
        if "family" in noun.tags:
            return draw.pick(_POSSESSIVES)
        if "kin" in noun.tags and draw.chance(0.45):
            return draw.pick(_POSSESSIVES)
        if draw.chance(0.47):
            return Determiner.THE
        if draw.chance(0.7):
            return Determiner.A
        if noun.tags & _OWNED and draw.chance(0.55):
            return draw.pick(_POSSESSIVES)
        return Determiner.THIS

    def _owner(self, noun: Noun) -> NounPhrase | None:
        draw = self._draw
        person = draw.noun(PERSON)
        if person is noun:
            return None
        related = "family" in person.tags or ("kin" in person.tags and draw.chance(0.4))
        plural = "parent" not in person.tags and draw.chance(0.2)
        return NounPhrase(person, draw.pick(_POSSESSIVES) if related else Determiner.THE, plural=plural)

    def _own(self, phrase: NounPhrase, subject: Phrase) -> NounPhrase:
        """Now and then, what is done is done to the subject's own."""
        own = phrase.noun.tags & _OWNED and phrase.owner is None and not phrase.count
        if not own or not self._draw.chance(0.25):
            return phrase
        person = _owning(subject)
        return phrase if person is None else replace(phrase, determiner=_OWN[person])

    def _pronoun(self, persons: tuple[Person, ...], subject: Phrase) -> Pronoun:
        """A pronoun that does not overlap with the subject."""
        person = self._draw.pick(persons)
        while person is subject.person or (person in _FIRST and subject.person in _FIRST):
            person = self._draw.pick(persons)
        return Pronoun(person)


def third_person(phrase: Phrase) -> Person | None:
    """The pronoun that takes up a phrase, if there is one; for several women only French has its own."""
    women = phrase.plural and isinstance(phrase, NounPhrase) and phrase.noun.fr.gender == "f"
    return None if women else _owning(phrase)


def same(one: Phrase, other: Phrase) -> bool:
    """Whether two phrases may be taken for the same people."""
    if isinstance(one, NounPhrase) and isinstance(other, NounPhrase):
        return one.noun is other.noun
    return one.person is other.person


def _owning(phrase: Phrase) -> Person | None:
    """The person whose possessive speaks of the phrase as owner."""
    if isinstance(phrase, Pronoun):
        return phrase.person
    if "person" not in phrase.noun.tags:
        return None
    return Person.THEY if phrase.plural else _SEXES.get(phrase.noun.sex)


def _fitting(phrase: NounPhrase, verb: Verb, negation: Negation) -> NounPhrase:
    """The phrase with another determiner where one of the languages has no good word for this one."""
    if phrase.determiner is not Determiner.A:
        return phrase
    several = phrase.plural or not phrase.noun.countable
    if negation is not Negation.NONE:
        fine = verb.direct and not (phrase.plural and phrase.noun.fr.singular == phrase.noun.fr.plural)
        return replace(phrase, count=0, determiner=Determiner.A if fine else Determiner.THE)
    fine = not (verb.fr.preposition and several)
    return phrase if fine else replace(phrase, count=0, determiner=Determiner.THE)
