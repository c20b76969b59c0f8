"""German: the words for a meaning. Four cases, three adjective declensions, a verb second, first or last."""

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
    Pronoun,
    Question,
    Relative,
    Sentence,
    Time,
    Weekday,
    Whereabouts,
)
from weft.corpus.numerals import german
from weft.corpus.words import Verb

__all__ = ["realise"]

# Cases are the rows of the tables of endings; the columns are masculine, feminine, neuter and plural.
NOMINATIVE, ACCUSATIVE, DATIVE, GENITIVE = range(4)
_COLUMNS = {"m": 0, "f": 1, "n": 2}
_PLURAL = 3
_CASES = {"accusative": ACCUSATIVE, "dative": DATIVE}

_THE = (
    ("der", "die", "das", "die"),
    ("den", "die", "das", "die"),
    ("dem", "der", "dem", "den"),
    ("des", "der", "des", "der"),
)
_THIS = (("er", "e", "es", "e"), ("en", "e", "es", "e"), ("em", "er", "em", "en"), ("es", "er", "es", "er"))
_EIN = (("", "e", "", "e"), ("en", "e", "", "e"), ("em", "er", "em", "en"), ("es", "er", "es", "er"))
_WEAK = (("e", "e", "e", "en"), ("en", "e", "e", "en"), ("en", "en", "en", "en"), ("en", "en", "en", "en"))
_MIXED = (
    ("er", "e", "es", "en"),
    ("en", "e", "es", "en"),
    ("en", "en", "en", "en"),
    ("en", "en", "en", "en"),
)
_STRONG = (("er", "e", "es", "e"), ("en", "e", "es", "e"), ("em", "er", "em", "en"), ("en", "er", "en", "er"))

_EIN_STEMS = {
    Determiner.MY: "mein",
    Determiner.YOUR: "dein",
    Determiner.OUR: "unser",
    Determiner.HIS: "sein",
    Determiner.HER: "ihr",
    Determiner.THEIR: "ihr",
}
_PRONOUNS = {
    NOMINATIVE: ("ich", "du", "er", "sie", "es", "wir", "sie"),
    ACCUSATIVE: ("mich", "dich", "ihn", "sie", "es", "uns", "sie"),
    DATIVE: ("mir", "dir", "ihm", "ihr", "ihm", "uns", "ihnen"),
}
_AUXILIARIES = {
    "haben": ("habe", "hast", "hat", "hat", "hat", "haben", "haben"),
    "sein": ("bin", "bist", "ist", "ist", "ist", "sind", "sind"),
    Mood.FUTURE: ("werde", "wirst", "wird", "wird", "wird", "werden", "werden"),
    Mood.CAN: ("kann", "kannst", "kann", "kann", "kann", "können", "können"),
    Mood.MUST: ("muss", "musst", "muss", "muss", "muss", "müssen", "müssen"),
    Mood.WANT: ("will", "willst", "will", "will", "will", "wollen", "wollen"),
}
_WAS = ("war", "warst", "war", "war", "war", "waren", "waren")
_CONTRACTIONS = {
    ("in", "dem"): "im",
    ("in", "das"): "ins",
    ("an", "dem"): "am",
    ("an", "das"): "ans",
    ("zu", "dem"): "zum",
    ("zu", "der"): "zur",
    ("von", "dem"): "vom",
}
_COORDINATIONS = {Link.AND: ["und"], Link.BUT: [",", "aber"]}
_SUBORDINATIONS = {Link.THAT: "dass", Link.BECAUSE: "weil", Link.WHEN: "wenn", Link.WHILE: "während"}
_QUESTION_WORDS = {Question.WHAT: "was", Question.WHERE: "wo", Question.WHEN: "wann", Question.WHY: "warum"}


def realise(sentence: Sentence) -> str:
    """The sentence in German."""
    words = _question(sentence) if sentence.question else _statement(sentence)
    end = "?" if sentence.question else "."
    text = f"{' '.join(words)} {end}".replace(" ,", ",").replace(f", {end}", end).replace(f" {end}", end)
    return text[0].upper() + text[1:]


def _statement(sentence: Sentence) -> list[str]:
    main, other, link = sentence.main, sentence.other, sentence.link
    if isinstance(main, Existence):
        return ["es", *_there_is(main), *_existing(main)]
    if link is None or other is None:
        return _verb_second(main)
    if link in _COORDINATIONS:
        return [*_verb_second(main), *_COORDINATIONS[link], *_verb_second(other)]
    conjunction = "als" if link is Link.WHEN and other.mood is Mood.PAST else _SUBORDINATIONS[link]
    subordinate = [conjunction, *_verb_last(other, subject=_subject(other))]
    if sentence.other_first:
        return [*subordinate, ",", *_verb_first(main)]
    return [*_verb_second(main), ",", *subordinate]


def _question(sentence: Sentence) -> list[str]:
    asked, clause = sentence.question, sentence.main
    if isinstance(clause, Existence):
        return [*_there_is(clause), "es", *_existing(clause)]
    if asked is Question.WHO:
        finite, end = _verb_group(clause)
        return ["wer", finite, *_middle(clause), *end]
    if asked is Question.HOW_MANY:
        assert clause.object
        return [*_phrase(clause.object, ACCUSATIVE), *_verb_first(clause)]
    opening = [_QUESTION_WORDS[asked]] if asked in _QUESTION_WORDS else []
    return [*opening, *_verb_first(clause)]


def _there_is(existence: Existence) -> list[str]:
    return ["gab" if existence.mood is Mood.PAST else "gibt"]


def _existing(existence: Existence) -> list[str]:
    denied = existence.negation is Negation.NOT
    return [*_noun_phrase(existence.phrase, ACCUSATIVE, denied=denied), *_where(existence.where)]


def _verb_second(clause: Clause) -> list[str]:
    """Subject or time, then the finite verb."""
    if clause.time_first:
        return [*_time(clause.time), *_verb_first(clause)]
    finite, end = _verb_group(clause)
    return [*_subject(clause), finite, *_middle(clause), *end]


def _verb_first(clause: Clause) -> list[str]:
    """The finite verb, then the subject; unstressed pronouns go before a subject that is none."""
    finite, end = _verb_group(clause)
    subject, pronouns = _subject(clause), _unstressed(clause)
    start = [*subject, *pronouns] if isinstance(clause.subject, Pronoun) else [*pronouns, *subject]
    return [finite, *start, *_middle(clause, pronouns=False), *end]


def _verb_last(clause: Clause, *, subject: list[str]) -> list[str]:
    """Everything, then the finite verb; a separable prefix stays on."""
    finite, end = _verb_group(clause)
    if clause.mood in (Mood.PRESENT, Mood.LIKE):
        return [*subject, *_middle(clause), "".join(end) + finite]
    return [*subject, *_middle(clause), *end, finite]


def _verb_group(clause: Clause) -> tuple[str, list[str]]:
    """The finite verb, and what closes the clause: prefix, participle or infinitive."""
    person, mood, verb = clause.subject.person, clause.mood, clause.verb
    if verb is None:
        if mood is Mood.FUTURE:
            return _AUXILIARIES[mood][person], ["sein"]
        return (_WAS if mood is Mood.PAST else _AUXILIARIES["sein"])[person], []
    if mood is Mood.PAST:
        return _AUXILIARIES[verb.de.auxiliary][person], [verb.de.participle]
    if mood in _AUXILIARIES:
        return _AUXILIARIES[mood][person], [verb.de.prefix + verb.de.infinitive]
    return _present(verb, person), [verb.de.prefix] if verb.de.prefix else []


def _present(verb: Verb, person: Person) -> str:
    if person is Person.I:
        return verb.de.ich
    if person is Person.YOU:
        return verb.de.du
    return verb.de.infinitive if person >= Person.WE else verb.de.er


def _subject(clause: Clause) -> list[str]:
    return _phrase(clause.subject, NOMINATIVE)


def _unstressed(clause: Clause) -> list[str]:
    """The pronouns among object and recipient."""
    words: list[str] = []
    if isinstance(clause.recipient, Pronoun):
        words += _phrase(clause.recipient, DATIVE)
    if isinstance(clause.object, Pronoun) and clause.verb and not clause.verb.de.preposition:
        words += _phrase(clause.object, _CASES[clause.verb.de.case])
    return words


def _middle(clause: Clause, *, pronouns: bool = True) -> list[str]:
    """What stands between the finite verb and the end, less the subject: the known early, the new late."""
    words = _unstressed(clause) if pronouns else []
    if not clause.time_first:
        words += _time(clause.time)
    if isinstance(clause.recipient, NounPhrase):
        words += _noun_phrase(clause.recipient, DATIVE)
    if clause.frequency:
        words.append(clause.frequency.de)
    early, late, denied = _object(clause)
    words += early
    if clause.negation is Negation.NEVER:
        words.append("nie")
    elif clause.negation is Negation.NOT and not denied:
        words.append("nicht")
    if clause.mood is Mood.LIKE:
        words.append("gern")
    if clause.manner:
        words.append(clause.manner.de)
    if clause.where:
        words += [*late, *_where(clause.where)] if clause.where.goal else [*_where(clause.where), *late]
    else:
        words += late
    if clause.quality:
        words.append(clause.quality.de.base)
    if clause.age:
        words += [german(clause.age), "Jahre", "alt"]
    return words


def _object(clause: Clause) -> tuple[list[str], list[str], bool]:
    """The object where it is known, where it is new, and whether "kein" denies the clause already."""
    phrase, verb = clause.object, clause.verb
    if (
        phrase is None
        or verb is None
        or (isinstance(phrase, NounPhrase) and phrase.determiner is Determiner.HOW_MANY)
    ):
        return [], [], False
    case = _CASES[verb.de.case]
    if verb.de.preposition:
        return [], _with_preposition(verb.de.preposition, _phrase(phrase, case)), False
    if isinstance(phrase, Pronoun):
        return [], [], False
    if phrase.determiner is not Determiner.A:
        return _noun_phrase(phrase, case), [], False
    denied = clause.negation is Negation.NOT
    return [], _noun_phrase(phrase, case, denied=denied), denied


def _phrase(phrase: Phrase, case: int) -> list[str]:
    if isinstance(phrase, NounPhrase):
        return _noun_phrase(phrase, case)
    return [_PRONOUNS[case][phrase.person]]


def _noun_phrase(phrase: NounPhrase, case: int, *, denied: bool = False) -> list[str]:
    column = _PLURAL if phrase.plural else _COLUMNS[phrase.noun.de.gender]
    words, endings = _determiner(phrase, case, column, denied)
    if phrase.count:
        words.append(german(phrase.count))
    if phrase.adjective:
        words.append(phrase.adjective.de.stem + endings[case][column])
    words.append(_noun(phrase, case))
    if phrase.owner:
        words += _noun_phrase(phrase.owner, GENITIVE)
    return words + _relative(phrase.relative, column) if phrase.relative else words


def _determiner(
    phrase: NounPhrase, case: int, column: int, denied: bool
) -> tuple[list[str], tuple[tuple[str, ...], ...]]:
    """The determiner, and the declension that it asks of an adjective."""
    determiner = phrase.determiner
    if phrase.owner or determiner is Determiner.THE:
        return [_THE[case][column]], _WEAK
    if determiner is Determiner.THIS:
        return ["dies" + _THIS[case][column]], _WEAK
    if determiner is Determiner.HOW_MANY:
        return ["wie", "viele"], _STRONG
    if determiner in _EIN_STEMS:
        return [_EIN_STEMS[determiner] + _EIN[case][column]], _MIXED
    if denied:
        return ["kein" + _EIN[case][column]], _MIXED
    if phrase.plural or not phrase.noun.countable:
        return [], _STRONG
    return ["ein" + _EIN[case][column]], _MIXED


def _noun(phrase: NounPhrase, case: int) -> str:
    noun = phrase.noun.de
    if phrase.plural:
        return noun.plural + "n" if case == DATIVE and noun.plural[-1] not in "ns" else noun.plural
    if case == NOMINATIVE:
        return noun.singular
    return noun.genitive if case == GENITIVE else noun.oblique


def _relative(relative: Relative, column: int) -> list[str]:
    """Between commas, with a pronoun that takes gender from the noun and case from its own clause."""
    if relative.gap is Gap.SUBJECT:
        return [",", *_verb_last(relative.clause, subject=[_THE[NOMINATIVE][column]]), ","]
    subject = [_THE[ACCUSATIVE][column], *_subject(relative.clause)]
    return [",", *_verb_last(relative.clause, subject=subject), ","]


def _with_preposition(preposition: str, words: list[str]) -> list[str]:
    contracted = _CONTRACTIONS.get((preposition, words[0]))
    return [contracted, *words[1:]] if contracted else [preposition, *words]


def _where(where: Whereabouts) -> list[str]:
    """A place takes the dative; a goal the accusative, except after "zu"."""
    preposition = where.place.de_to if where.goal else where.place.de_at
    case = ACCUSATIVE if where.goal and preposition != "zu" else DATIVE
    return _with_preposition(preposition, _noun_phrase(where.phrase, case))


def _time(time: Time | None) -> list[str]:
    match time:
        case None:
            return []
        case Date(day, month):
            return ["am", f"{day}.", month.de]
        case Weekday(day):
            return ["am", day.de]
        case Hour(hour):
            return ["um", "ein" if hour == 1 else german(hour), "Uhr"]
        case _:
            return [time.de]
