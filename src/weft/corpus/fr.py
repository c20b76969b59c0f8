"""French: the words for a meaning. Agreement, elision, contraction, clitics, negation around the verb."""

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
from weft.corpus.numerals import french
from weft.corpus.words import Adjective, Verb

__all__ = ["realise"]

_SUBJECTS = ("je", "tu", "il", "elle", "il", "nous", "ils")
_DIRECT = ("me", "te", "le", "la", "le", "nous", "les")
_INDIRECT = ("me", "te", "lui", "lui", "lui", "nous", "leur")
_AUXILIARIES = {
    "avoir": ("ai", "as", "a", "a", "a", "avons", "ont"),
    "être": ("suis", "es", "est", "est", "est", "sommes", "sont"),
    Mood.FUTURE: ("vais", "vas", "va", "va", "va", "allons", "vont"),
    Mood.CAN: ("peux", "peux", "peut", "peut", "peut", "pouvons", "peuvent"),
    Mood.MUST: ("dois", "dois", "doit", "doit", "doit", "devons", "doivent"),
    Mood.WANT: ("veux", "veux", "veut", "veut", "veut", "voulons", "veulent"),
    Mood.LIKE: ("aime", "aimes", "aime", "aime", "aime", "aimons", "aiment"),
}
_WAS = ("étais", "étais", "était", "était", "était", "étions", "étaient")
_HAD = ("avais", "avais", "avait", "avait", "avait", "avions", "avaient")

# Masculine, feminine, plural.
_DETERMINERS = {
    Determiner.THE: ("le", "la", "les"),
    Determiner.THIS: ("ce", "cette", "ces"),
    Determiner.MY: ("mon", "ma", "mes"),
    Determiner.YOUR: ("ton", "ta", "tes"),
    Determiner.OUR: ("notre", "notre", "nos"),
    Determiner.HIS: ("son", "sa", "ses"),
    Determiner.HER: ("son", "sa", "ses"),
    Determiner.THEIR: ("leur", "leur", "leurs"),
}
_BEFORE_VOWEL = {"ce": "cet", "ma": "mon", "ta": "ton", "sa": "son"}
_ELIDING = frozenset(
    (
        "je",
        "me",
        "te",
        "le",
        "la",
        "de",
        "ne",
        "que",
        "parce que",
        "pendant que",
        "est-ce que",
        "qu'est-ce que",
    )
)
_VOWELS = frozenset("aeiouyhâàéèêëîïôœ")  # every h in the lexicon is mute
_CONTRACTIONS = {("à", "le"): "au", ("à", "les"): "aux", ("de", "le"): "du", ("de", "les"): "des"}
_LINKS = {
    Link.AND: ["et"],
    Link.BUT: [",", "mais"],
    Link.THAT: ["que"],
    Link.BECAUSE: ["parce que"],
    Link.WHEN: ["quand"],
    Link.WHILE: ["pendant que"],
}
_OPENINGS = {
    Question.WHETHER: ["est-ce que"],
    Question.WHAT: ["qu'est-ce que"],
    Question.WHERE: ["où", "est-ce que"],
    Question.WHEN: ["quand", "est-ce que"],
    Question.WHY: ["pourquoi", "est-ce que"],
}


def realise(sentence: Sentence) -> str:
    """The sentence in French."""
    words = _question(sentence) if sentence.question else _statement(sentence)
    text = _join(words).replace(" ,", ",")
    return f"{text[0].upper()}{text[1:]}{' ?' if sentence.question else '.'}"


def _join(words: list[str]) -> str:
    """The words with spaces between them, but for those that lose their vowel to the next."""
    pieces: list[str] = []
    for word, following in zip(words, [*words[1:], "."], strict=True):
        if word in _ELIDING and following[0] in _VOWELS and following != "onze" and following != "huit":
            pieces.append(word[:-1] + "'")
        else:
            pieces.append(word + " ")
    return "".join(pieces).rstrip()


def _statement(sentence: Sentence) -> list[str]:
    if isinstance(sentence.main, Existence):
        return ["il", *_existing(sentence.main)]
    words = _clause(sentence.main)
    if sentence.link is None or sentence.other is None:
        return words
    other = [*_LINKS[sentence.link], *_clause(sentence.other)]
    return [*other, ",", *words] if sentence.other_first else [*words, *other]


def _question(sentence: Sentence) -> list[str]:
    asked, clause = sentence.question, sentence.main
    if isinstance(clause, Existence):
        return ["est-ce que", "il", *_existing(clause)]
    if asked is Question.WHO:
        return ["qui", *_predicate(clause)]
    if asked is Question.HOW_MANY:
        assert isinstance(clause.object, NounPhrase)
        return [
            "combien",
            "de",
            *_bare(clause.object),
            "est-ce que",
            *_clause(clause, antecedent=clause.object),
        ]
    assert asked
    return [*_OPENINGS[asked], *_clause(clause)]


def _existing(existence: Existence) -> list[str]:
    denied = existence.negation is Negation.NOT
    verb = "avait" if existence.mood is Mood.PAST else "a"
    around = ["ne", "y", verb, "pas"] if denied else ["y", verb]
    return [*around, *_noun_phrase(existence.phrase, denied=denied), *_where(existence.where)]


def _clause(clause: Clause, *, antecedent: NounPhrase | None = None) -> list[str]:
    """A whole clause; the antecedent is an object said before it, which a participle agrees with."""
    words = [*_subject(clause.subject), *_predicate(clause, antecedent=antecedent)]
    return [*_time(clause.time), ",", *words] if clause.time_first else words


def _predicate(clause: Clause, *, antecedent: NounPhrase | None = None) -> list[str]:
    """All but the subject."""
    words = _verb_group(clause, antecedent)
    if clause.quality:
        words.append(_agreeing(clause.quality, clause.subject))
    if clause.object and antecedent is None:
        words += _object(clause)
    if isinstance(clause.recipient, NounPhrase):
        words += _noun_phrase(clause.recipient, preposition="à")
    if clause.manner:
        words.append(clause.manner.fr)
    if clause.where:
        words += _where(clause.where)
    return words if clause.time_first else words + _time(clause.time)


def _verb_group(clause: Clause, antecedent: NounPhrase | None) -> list[str]:
    """From "ne" to the last verb: the clitics stand before the verb whose object they are."""
    person, verb, mood = clause.subject.person, clause.verb, clause.mood
    clitics = _clitics(clause)
    if verb is None:
        finite, rest = _to_be(clause)
    elif mood is Mood.PAST:
        finite = [*clitics, _AUXILIARIES[verb.fr.auxiliary][person]]
        rest = [_participle(verb, _agreement(clause, verb, antecedent))]
    elif mood is Mood.PRESENT:
        finite, rest = [*clitics, _present(verb, person)], []
    else:
        finite, rest = [_AUXILIARIES[mood][person]], [*clitics, verb.fr.infinitive]
    frequency = [clause.frequency.fr] if clause.frequency else []
    if clause.negation is Negation.NONE:
        return [*finite, *frequency, *rest]
    return ["ne", *finite, "pas" if clause.negation is Negation.NOT else "jamais", *frequency, *rest]


def _to_be(clause: Clause) -> tuple[list[str], list[str]]:
    """ "To be", or "to have" a number of years."""
    person, mood = clause.subject.person, clause.mood
    if clause.age:
        had = _HAD if mood is Mood.PAST else _AUXILIARIES["avoir"]
        return [had[person]], [french(clause.age), "ans"]
    if mood is Mood.FUTURE:
        return [_AUXILIARIES[mood][person]], ["être"]
    return [(_WAS if mood is Mood.PAST else _AUXILIARIES["être"])[person]], []


def _clitics(clause: Clause) -> list[str]:
    if isinstance(clause.recipient, Pronoun):
        return [_INDIRECT[clause.recipient.person]]
    if isinstance(clause.object, Pronoun):
        assert clause.verb
        return [(_INDIRECT if clause.verb.fr.preposition else _DIRECT)[clause.object.person]]
    return []


def _agreement(clause: Clause, verb: Verb, antecedent: NounPhrase | None) -> Phrase | None:
    """What a participle agrees with: the subject after "être", a direct object already said after "avoir"."""
    if verb.fr.auxiliary == "être":
        return clause.subject
    if isinstance(clause.object, Pronoun) and not verb.fr.preposition:
        return clause.object
    return antecedent


def _participle(verb: Verb, model: Phrase | None) -> str:
    participle = verb.fr.participle
    if model is None:
        return participle
    if _feminine(model):
        participle += "e"
    return participle + "s" if model.plural and not participle.endswith("s") else participle


def _present(verb: Verb, person: Person) -> str:
    french_verb = verb.fr
    forms = (french_verb.je, french_verb.tu, french_verb.il, french_verb.il, french_verb.il, french_verb.nous)
    return french_verb.ils if person is Person.THEY else forms[person]


def _feminine(phrase: Phrase) -> bool:
    """Whether adjectives and participles take the feminine; of the pronouns, "she" alone does."""
    if isinstance(phrase, Pronoun):
        return phrase.person is Person.SHE
    return phrase.noun.fr.gender == "f"


def _agreeing(adjective: Adjective, phrase: Phrase) -> str:
    forms = adjective.fr
    if _feminine(phrase):
        return forms.feminine_plural if phrase.plural else forms.feminine
    return forms.masculine_plural if phrase.plural else forms.masculine


def _object(clause: Clause) -> list[str]:
    phrase, verb = clause.object, clause.verb
    if isinstance(phrase, Pronoun):
        return []
    assert phrase
    assert verb
    return _noun_phrase(phrase, preposition=verb.fr.preposition, denied=clause.negation is not Negation.NONE)


def _subject(phrase: Phrase) -> list[str]:
    return [_SUBJECTS[phrase.person]] if isinstance(phrase, Pronoun) else _noun_phrase(phrase)


def _noun_phrase(phrase: NounPhrase, *, preposition: str = "", denied: bool = False) -> list[str]:
    bare = _bare(phrase)
    determiner = _determiner(phrase, bare[0][0] in _VOWELS, denied)
    if not preposition:
        return [*determiner, *bare]
    contracted = _CONTRACTIONS.get((preposition, determiner[0])) if determiner else None
    if contracted and not (determiner[0] == "le" and bare[0][0] in _VOWELS):
        return [contracted, *determiner[1:], *bare]
    return [preposition, *determiner, *bare]


def _determiner(phrase: NounPhrase, vowel: bool, denied: bool) -> list[str]:
    """The determiner before a word that begins with a vowel or not."""
    determiner = Determiner.THE if phrase.owner else phrase.determiner
    feminine = phrase.noun.fr.gender == "f"
    if determiner is Determiner.A:
        if phrase.count:
            return []
        if denied:
            return ["de"]
        if phrase.plural:
            early = phrase.adjective and phrase.adjective.fr.position == "before"
            return ["de"] if early else ["des"]
        if not phrase.noun.countable:
            return ["de", "la"] if feminine or vowel else ["du"]
        return ["une"] if feminine else ["un"]
    forms = _DETERMINERS[determiner]
    form = forms[2] if phrase.plural else forms[feminine]
    return [_BEFORE_VOWEL.get(form, form)] if vowel and not phrase.plural else [form]


def _bare(phrase: NounPhrase) -> list[str]:
    """The phrase without its determiner: count, adjective, noun, adjective, owner, relative clause."""
    noun = phrase.noun.fr.plural if phrase.plural else phrase.noun.fr.singular
    words = [noun]
    if phrase.adjective:
        form = _agreeing(phrase.adjective, phrase)
        if phrase.adjective.fr.position == "after":
            words = [noun, form]
        elif (
            phrase.adjective.fr.before_vowel
            and noun[0] in _VOWELS
            and not (phrase.plural or _feminine(phrase))
        ):
            words = [phrase.adjective.fr.before_vowel, noun]
        else:
            words = [form, noun]
    if phrase.count:
        words = [french(phrase.count, feminine=phrase.noun.fr.gender == "f"), *words]
    if phrase.owner:
        words += _noun_phrase(phrase.owner, preposition="de")
    return words + _relative(phrase, phrase.relative) if phrase.relative else words


def _relative(head: NounPhrase, relative: Relative) -> list[str]:
    if relative.gap is Gap.SUBJECT:
        return ["qui", *_predicate(relative.clause)]
    return ["que", *_clause(relative.clause, antecedent=head)]


def _where(where: Whereabouts) -> list[str]:
    preposition = where.place.fr_to if where.goal else where.place.fr_at
    return _noun_phrase(where.phrase, preposition=preposition)


def _time(time: Time | None) -> list[str]:
    match time:
        case None:
            return []
        case Date(day, month):
            return [f"le {'1er' if day == 1 else day} {month.fr}"]
        case Weekday(day):
            return [day.fr]
        case Hour(hour):
            return ["à", "une heure" if hour == 1 else f"{french(hour)} heures"]
        case _:
            return [time.fr]
