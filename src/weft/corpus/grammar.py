"""What can be said: draws meanings at random, so that people eat apples and not tables."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from weft.corpus.choices import Choices
from weft.corpus.clauses import PRESENT_OR_PAST, TENSES, Clauses, eventful, ordinary, personal, reporting
from weft.corpus.meaning import (
    Clause,
    Determiner,
    Existence,
    Gap,
    Link,
    Mood,
    Negation,
    NounPhrase,
    Person,
    Pronoun,
    Question,
    Relative,
    Sentence,
)
from weft.corpus.phrases import PERSON, SUBJECTS, Phrases, same, third_person
from weft.corpus.words import Lexicon, Trait, Verb

__all__ = ["Grammar"]

_STRANGER = frozenset(("stranger",))
_THERE = (  # what there is in German by "es gibt": buildings of a town, or many of something
    (frozenset(("amenity",)), frozenset(("settlement",))),
    (frozenset(("person",)), frozenset(("town",))),
    (frozenset(("animal",)), frozenset(("open",))),
    (frozenset(("thing",)), frozenset(("home",))),
)
_AGEING = frozenset(("building", "animal"))
_CHILDREN = frozenset(("child", "boy", "girl"))
_INANIMATE = frozenset(("food", "drink", "clothing", "thing", "opening", "sight", "room", "text"))
_ASKED_MOODS = (Mood.PAST,) * 4 + (Mood.FUTURE,) * 2 + (Mood.CAN, Mood.MUST, Mood.WANT, Mood.PRESENT)
_REPORTED_MOODS = (Mood.PAST, Mood.PAST, Mood.PRESENT, Mood.FUTURE, Mood.CAN, Mood.WANT)
_OPEN_QUESTIONS = (
    Question.WHAT,
    Question.WHO,
    Question.WHERE,
    Question.WHEN,
    Question.WHY,
    Question.HOW_MANY,
)


def _on_things(verb: Verb) -> bool:
    """Whether it does something to things, in the plain accusative."""
    things = verb.objects & _INANIMATE and Trait.STATIVE not in verb.traits
    return personal(verb) and verb.direct and bool(things)


def _somewhere(verb: Verb) -> bool:
    return personal(verb) and bool(verb.places)


def _closing_on_people(verb: Verb) -> bool:
    """Whether its object may end the clause with a relative clause of its own: in German nothing follows."""
    return "person" in verb.objects and personal(verb) and not verb.de.prefix


def _closing_on_things(verb: Verb) -> bool:
    return _on_things(verb) and not verb.de.prefix and Trait.RECIPIENT not in verb.traits


class Grammar:
    """Draws sentences; which ones follows from the state of `random` alone."""

    def __init__(self, words: Lexicon, *, random: Random) -> None:
        self._random = random
        self._draw = Choices(words, random=random)
        self._phrases = Phrases(self._draw)
        self._clauses = Clauses(self._draw, phrases=self._phrases)
        self._kinds = (
            (0.43, self._statement),
            (0.49, self._description),
            (0.61, self._yes_or_no),
            (0.73, self._open_question),
            (0.86, self._linked),
            (0.92, self._with_relative),
            (0.965, self._existence),
            (1.00, self._age),
        )

    def sentence(self) -> Sentence:
        """The meaning of one sentence."""
        share = self._random.random()
        return next(make for bound, make in self._kinds if share < bound)()

    def _statement(self) -> Sentence:
        if self._draw.chance(0.02):
            return Sentence(self._clauses.weather(TENSES))
        return Sentence(self._clauses.action(ordinary))

    def _description(self) -> Sentence:
        return Sentence(self._clauses.quality())

    def _yes_or_no(self) -> Sentence:
        share = self._random.random()
        if share < 0.05:
            clause = self._clauses.weather(TENSES)
        elif share < 0.25:
            clause = self._clauses.quality()
        else:
            clause = self._clauses.action(ordinary, moods=_ASKED_MOODS, affirmative=True)
        return Sentence(replace(clause, negation=Negation.NONE, time_first=False), question=Question.WHETHER)

    def _open_question(self) -> Sentence:
        asked = self._draw.pick(_OPEN_QUESTIONS)
        if asked in (Question.WHAT, Question.HOW_MANY):
            clause = self._about_thing(asked)
        elif asked is Question.WHO:
            clause = self._clauses.action(personal, affirmative=True, subject=Pronoun(Person.HE))
            if isinstance(clause.object, NounPhrase) and clause.object.determiner is Determiner.HIS:
                clause = replace(clause, object=replace(clause.object, determiner=Determiner.THE))
        elif asked is Question.WHERE:
            clause = replace(self._clauses.action(_somewhere, affirmative=True), where=None)
        elif asked is Question.WHEN:
            clause = self._clauses.action(personal, moods=TENSES, affirmative=True)
            clause = replace(clause, time=None, frequency=None)
        else:
            clause = self._clauses.action(personal, affirmative=True)
        return Sentence(replace(clause, time_first=False), question=asked)

    def _about_thing(self, asked: Question) -> Clause:
        """A clause whose object, a thing, is asked for."""
        clause = self._clauses.action(_on_things, moods=(*TENSES, Mood.CAN, Mood.WANT), affirmative=True)
        thing = clause.object
        if not isinstance(thing, NounPhrase) or not thing.noun.tags & _INANIMATE:
            return self._about_thing(asked)
        if asked is Question.WHAT:
            return replace(clause, object=None)
        if not thing.noun.countable:
            return self._about_thing(asked)
        return replace(clause, object=NounPhrase(thing.noun, Determiner.HOW_MANY, plural=True))

    def _linked(self) -> Sentence:
        share = self._random.random()
        if share < 0.25:
            return self._reported()
        if share < 0.6:
            return self._explained()
        link = (
            Link.WHEN
            if share < 0.8
            else Link.WHILE
            if share < 0.9
            else Link.AND
            if share < 0.95
            else Link.BUT
        )
        mood = Mood.PRESENT if link is Link.WHILE else self._draw.pick(PRESENT_OR_PAST)
        together = link in (Link.WHEN, Link.WHILE)
        if together:
            habit = link is Link.WHEN
            main, other = (
                replace(_timeless(clause), habit=habit)
                for clause in self._two(eventful, mood=mood, affirmative=True)
            )
        else:
            main, other = self._two(personal, mood=mood)
        return Sentence(main, link=link, other=other, other_first=together and self._draw.chance(0.4))

    def _two(
        self, fits: Callable[[Verb], bool], *, mood: Mood, affirmative: bool = False
    ) -> tuple[Clause, Clause]:
        """Two short clauses about different people who do different things."""
        main = self._clauses.action(fits, moods=(mood,), brief=True, affirmative=affirmative)
        other = main
        while same(main.subject, other.subject) or main.verb is other.verb:
            other = self._clauses.action(fits, moods=(mood,), brief=True, affirmative=affirmative)
        return main, other

    def _reported(self) -> Sentence:
        subject = self._phrases.subject(PERSON, brief=True)
        main = Clause(subject, self._draw.verb(reporting), Mood.PRESENT)
        hoping = main.verb is not None and Trait.FUTURE in main.verb.traits
        moods = (Mood.FUTURE,) if hoping else (self._draw.pick(_REPORTED_MOODS),)
        other = main
        while same(subject, other.subject):
            if hoping or self._draw.chance(0.85):
                other = self._clauses.action(personal, moods=moods, brief=True)
            else:
                other = self._clauses.quality()
        return Sentence(main, link=Link.THAT, other=replace(other, time_first=False))

    def _explained(self) -> Sentence:
        main = self._clauses.action(personal, brief=True)
        mood = Mood.PAST if main.mood is Mood.PAST else Mood.PRESENT
        person = third_person(main.subject)
        share = self._random.random()
        if share < 0.55 and person is not None:
            quality = self._draw.personal_adjective(state=True)
            other = Clause(Pronoun(person), None, mood, quality=quality)
        elif share < 0.7:
            other = self._clauses.weather((mood,))
        else:
            main, other = self._two(personal, mood=mood)
        return Sentence(main, link=Link.BECAUSE, other=_timeless(other))

    def _with_relative(self) -> Sentence:
        person = self._draw.chance(0.5)
        head, relative = self._person_doing() if person else self._thing_done()
        phrase = replace(head, relative=relative)
        if self._draw.chance(0.6):
            quality = self._draw.adjective(head.noun)
            if quality:
                over = relative.clause.mood is Mood.PAST and self._draw.chance(0.5)
                return Sentence(Clause(phrase, None, Mood.PAST if over else Mood.PRESENT, quality=quality))
        verb = self._draw.verb(_closing_on_people if person else _closing_on_things)
        subject = self._phrases.subject(PERSON, brief=True)
        overlapping = same(subject, head) or same(subject, relative.clause.subject)
        if overlapping or not verb.objects & head.noun.tags:
            return self._with_relative()
        return Sentence(Clause(subject, verb, Mood.PRESENT, object=phrase))

    def _person_doing(self) -> tuple[NounPhrase, Relative]:
        """Somebody, and a clause that they are the subject of."""
        head = NounPhrase(self._draw.noun(_STRANGER), Determiner.THE, plural=self._draw.chance(0.25))
        moods = (self._draw.pick(PRESENT_OR_PAST),)
        clause = self._clauses.action(personal, moods=moods, brief=True, subject=head, affirmative=True)
        return head, Relative(_timeless(clause), Gap.SUBJECT)

    def _thing_done(self) -> tuple[NounPhrase, Relative]:
        """A thing, and a clause that it is the object of."""
        clause = self._clauses.action(_on_things, moods=PRESENT_OR_PAST, brief=True, affirmative=True)
        thing = clause.object
        if not isinstance(thing, NounPhrase) or not thing.noun.tags & _INANIMATE:
            return self._thing_done()
        head = NounPhrase(thing.noun, Determiner.THE, plural=thing.plural)
        return head, Relative(replace(_timeless(clause), object=None, where=None), Gap.OBJECT)

    def _existence(self) -> Sentence:
        draw = self._draw
        tags, around = draw.pick(_THERE)
        noun = draw.noun(tags)
        single = "parent" in noun.tags or ("amenity" in tags and draw.chance(0.7))
        plural, asking = not single, draw.chance(0.25)
        denied = not asking and draw.chance(0.2) and noun.fr.singular != noun.fr.plural
        counted = plural and not denied and draw.chance(0.5)
        phrase = NounPhrase(
            noun,
            Determiner.A,
            plural=plural,
            adjective=draw.adjective(noun) if draw.chance(0.3) else None,
            count=draw.number(at_most=12 if "animal" in tags else 99) if counted else 0,
        )
        where = self._phrases.whereabouts(draw.place(around))
        negation = Negation.NOT if denied else Negation.NONE
        existence = Existence(phrase, where, draw.pick(PRESENT_OR_PAST), negation)
        return Sentence(existence, question=Question.WHETHER if asking else None)

    def _age(self) -> Sentence:
        draw = self._draw
        mood = Mood.PAST if draw.chance(0.25) else Mood.PRESENT
        if draw.chance(0.35):
            return Sentence(Clause(Pronoun(draw.pick(SUBJECTS)), None, mood, age=draw.number()))
        subject = self._phrases.subject(PERSON if draw.chance(0.7) else _AGEING, brief=True, pronouns=False)
        assert isinstance(subject, NounPhrase)
        if subject.noun.tags & _CHILDREN or "animal" in subject.noun.tags:
            age = draw.number(at_most=15)
        else:
            age = draw.number(at_least=18)
        return Sentence(Clause(replace(subject, adjective=None), None, mood, age=age))


def _timeless(clause: Clause) -> Clause:
    return replace(clause, time=None, time_first=False, frequency=None)
