"""English: the words for a meaning. Do-support, "a" and "an", possessives, particles."""

from weft.corpus.meaning import (
    Clause,
    Date,
    Determiner,
    Existence,
    Gap,
    Hour,
    Link,
    Mood,
    Negation,
    NounPhrase,
    Person,
    Phrase,
    Question,
    Relative,
    Sentence,
    Time,
    Weekday,
    Whereabouts,
)
from weft.corpus.numerals import english, english_ordinal
from weft.corpus.words import Adverb, Trait, Verb

__all__ = ["realise"]

_SUBJECTS = ("I", "you", "he", "she", "it", "we", "they")
_OBJECTS = ("me", "you", "him", "her", "it", "us", "them")
_AM = ("am", "are", "is", "is", "is", "are", "are")
_WAS = ("was", "were", "was", "was", "was", "were", "were")
_THIRD = (Person.HE, Person.SHE, Person.IT)

_DETERMINERS = {
    Determiner.THE: ("the", "the"),
    Determiner.THIS: ("this", "these"),
    Determiner.MY: ("my", "my"),
    Determiner.YOUR: ("your", "your"),
    Determiner.OUR: ("our", "our"),
    Determiner.HIS: ("his", "his"),
    Determiner.HER: ("her", "her"),
    Determiner.THEIR: ("their", "their"),
    Determiner.HOW_MANY: ("", "how many"),
}
_MODALS = {Mood.FUTURE: "will", Mood.CAN: "can"}
_BEFORE_TO = {Mood.MUST: ("have", "has"), Mood.WANT: ("want", "wants"), Mood.LIKE: ("like", "likes")}
_SIMPLE = frozenset((Trait.STATIVE, Trait.INSTANT, Trait.CLAUSE))
_LINKS = {
    Link.AND: ["and"],
    Link.BUT: [",", "but"],
    Link.THAT: ["that"],
    Link.BECAUSE: ["because"],
    Link.WHEN: ["when"],
    Link.WHILE: ["while"],
}
_QUESTION_WORDS = {Question.WHAT: "what", Question.WHERE: "where", Question.WHEN: "when", Question.WHY: "why"}
_SOUNDS_LIKE_CONSONANT = ("uni", "eu", "one")  # university, euro


def realise(sentence: Sentence) -> str:
    """The sentence in English."""
    words = _question(sentence) if sentence.question else _statement(sentence)
    text = " ".join(words).replace(" ,", ",").replace(" '", "'")
    return f"{text[0].upper()}{text[1:]}{'?' if sentence.question else '.'}"


def _statement(sentence: Sentence) -> list[str]:
    if isinstance(sentence.main, Existence):
        return ["there", *_there_is(sentence.main), *_existing(sentence.main)]
    words = _clause(sentence.main)
    if sentence.link is None or sentence.other is None:
        return words
    other = [*_LINKS[sentence.link], *_clause(sentence.other)]
    return [*other, ",", *words] if sentence.other_first else [*words, *other]


def _question(sentence: Sentence) -> list[str]:
    asked, clause = sentence.question, sentence.main
    if isinstance(clause, Existence):
        return [*_there_is(clause), "there", *_existing(clause)]
    if asked is Question.WHO:
        return ["who", *_predicate(clause), *_time(clause.time)]
    auxiliary, verb = _verb_group(clause, asking=True)
    words = [*auxiliary, *_phrase(clause.subject), *verb]
    if asked is Question.HOW_MANY:
        assert clause.object
        recipient = _phrase(clause.recipient, objective=True) if clause.recipient else []
        return [*_phrase(clause.object), *words, *recipient, *_after_object(clause), *_time(clause.time)]
    opening = [_QUESTION_WORDS[asked]] if asked in _QUESTION_WORDS else []
    return [*opening, *words, *_complements(clause), *_time(clause.time)]


def _there_is(existence: Existence) -> list[str]:
    return [(_WAS if existence.mood is Mood.PAST else _AM)[existence.phrase.person]]


def _existing(existence: Existence) -> list[str]:
    if existence.negation is Negation.NONE:
        return [*_noun_phrase(existence.phrase), *_where(existence.where)]
    return ["no", *_bare(existence.phrase), *_where(existence.where)]


def _clause(clause: Clause) -> list[str]:
    """A whole clause in the order of statements."""
    words = [*_phrase(clause.subject), *_predicate(clause)]
    if clause.time_first:
        return [*_time(clause.time), ",", *words]
    return [*words, *_time(clause.time)]


def _predicate(clause: Clause) -> list[str]:
    """All but subject and time."""
    auxiliary, verb = _verb_group(clause, asking=False)
    return [*auxiliary, *verb, *_complements(clause)]


def _verb_group(clause: Clause, *, asking: bool) -> tuple[list[str], list[str]]:
    """What a question puts before the subject, and what it leaves behind."""
    person, mood, verb = clause.subject.person, clause.mood, clause.verb
    denied = clause.negation is Negation.NOT
    not_ = ["not"] if denied else []
    adverb = [clause.frequency.en] if clause.frequency else []
    if clause.negation is Negation.NEVER:
        adverb = ["never"]
    if verb is None:
        if mood is Mood.FUTURE:
            return ["will"], [*not_, "be"]
        return [(_WAS if mood is Mood.PAST else _AM)[person]], [*not_, *adverb]
    particle = [verb.en.particle] if verb.en.particle else []
    if mood in _MODALS:
        modal = "cannot" if denied and mood is Mood.CAN else _MODALS[mood]
        return [modal], [*(not_ if modal != "cannot" else []), *adverb, verb.en.base, *particle]
    if _progressive(clause, verb):
        return [_AM[person]], [*not_, verb.en.gerund, *particle]
    third = person in _THIRD and mood is not Mood.PAST
    do = ["did" if mood is Mood.PAST else "does" if third else "do"] if asking or denied else []
    if mood in _BEFORE_TO:
        return do, [*not_, _BEFORE_TO[mood][third and not do], "to", verb.en.base, *particle]
    if do:
        return do, [*not_, *adverb, verb.en.base, *particle]
    form = verb.en.past if mood is Mood.PAST else verb.en.third if third else verb.en.base
    return [], [*adverb, form, *particle]


def _progressive(clause: Clause, verb: Verb) -> bool:
    """Whether it is going on now: "is buying". Habits, states and what is over in an instant are not."""
    if clause.mood is not Mood.PRESENT or clause.habit or clause.frequency or verb.traits & _SIMPLE:
        return False
    habitual = isinstance(clause.time, Adverb) and "habit" in clause.time.moods
    return not habitual and clause.negation is not Negation.NEVER


def _complements(clause: Clause) -> list[str]:
    """What follows the verb, time excepted."""
    words: list[str] = []
    if clause.quality:
        words.append(clause.quality.en)
    if clause.age:
        words += [english(clause.age), "years", "old"]
    if clause.recipient:
        words += _phrase(clause.recipient, objective=True)
    if clause.object:
        words += _object(clause)
    return words + _after_object(clause)


def _after_object(clause: Clause) -> list[str]:
    manner = [clause.manner.en] if clause.manner else []
    return [*manner, *_where(clause.where)] if clause.where else manner


def _object(clause: Clause) -> list[str]:
    patient = clause.object
    if (
        clause.negation is Negation.NOT
        and isinstance(patient, NounPhrase)
        and patient.determiner is Determiner.A
        and not patient.count
        and (patient.plural or not patient.noun.countable)
    ):
        return ["any", *_bare(patient)]
    assert patient
    return _phrase(patient, objective=True)


def _phrase(phrase: Phrase, *, objective: bool = False) -> list[str]:
    if isinstance(phrase, NounPhrase):
        return _noun_phrase(phrase)
    return [(_OBJECTS if objective else _SUBJECTS)[phrase.person]]


def _noun_phrase(phrase: NounPhrase) -> list[str]:
    bare = _bare(phrase)
    if phrase.owner:
        owner = _noun_phrase(phrase.owner)
        return [*owner, "'" if phrase.owner.plural and owner[-1].endswith("s") else "'s", *bare]
    if phrase.determiner is Determiner.A:
        if phrase.plural or not phrase.noun.countable:
            return bare
        return [_article(bare[0]), *bare]
    return [_DETERMINERS[phrase.determiner][phrase.plural], *bare]


def _bare(phrase: NounPhrase) -> list[str]:
    """The phrase without its determiner."""
    words = [english(phrase.count)] if phrase.count else []
    if phrase.adjective:
        words.append(phrase.adjective.en)
    words.append(phrase.noun.en.plural if phrase.plural else phrase.noun.en.singular)
    return words + _relative(phrase, phrase.relative) if phrase.relative else words


def _relative(head: NounPhrase, relative: Relative) -> list[str]:
    if relative.gap is Gap.OBJECT:
        return ["that", *_clause(relative.clause)]
    pronoun = "who" if "person" in head.noun.tags else "that"
    return [pronoun, *_predicate(relative.clause), *_time(relative.clause.time)]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" and not word.startswith(_SOUNDS_LIKE_CONSONANT) else "a"


def _where(where: Whereabouts | None) -> list[str]:
    if where is None:
        return []
    return ["to" if where.goal else where.place.en_at, *_noun_phrase(where.phrase)]


def _time(time: Time | None) -> list[str]:
    match time:
        case None:
            return []
        case Date(day, month):
            return ["on", "the", english_ordinal(day), "of", month.en]
        case Weekday(day):
            return ["on", day.en]
        case Hour(hour):
            return ["at", english(hour), "o'clock"]
        case _:
            return [time.en]
