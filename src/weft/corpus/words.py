"""The lexicon: one row of a table in `lexicon/` is one lemma in English, German and French."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files

__all__ = [
    "Adjective",
    "Adverb",
    "AdverbKind",
    "CalendarWord",
    "Lexicon",
    "Noun",
    "Place",
    "Trait",
    "Verb",
    "lexicon",
]

Row = dict[str, str]


class Trait(StrEnum):
    """What a verb asks of its clause, beyond the classes of its subject and objects."""

    ACTIVITY = "activity"  # a thing one can like to do
    STATIVE = "stative"  # a state: present tense alone
    INSTANT = "instant"  # seldom progressive in English: "finds"
    PRONOUN = "pronoun"  # its object may be "me", "you", "him", "us"
    RECIPIENT = "recipient"  # needs somebody to give to
    PLACE = "place"  # needs to be somewhere
    ACCIDENT = "accident"  # happens to one: no "must", "can", "want"
    GOAL = "goal"  # needs to lead somewhere
    CLAUSE = "clause"  # is followed by "that ..."
    FUTURE = "future"  # and that is yet to come
    WEATHER = "weather"  # has "it" as its subject


class AdverbKind(StrEnum):
    """Which slot of a clause an adverb fills."""

    TIME = "time"
    FREQUENCY = "frequency"
    MANNER = "manner"


@dataclass(frozen=True, slots=True)
class EnglishNoun:
    """Singular and plural."""

    singular: str
    plural: str


@dataclass(frozen=True, slots=True)
class GermanNoun:
    """Gender and the forms that the others follow from; `oblique` is the accusative and dative singular."""

    gender: str
    singular: str
    plural: str
    genitive: str
    oblique: str


@dataclass(frozen=True, slots=True)
class FrenchNoun:
    """Gender, singular and plural."""

    gender: str
    singular: str
    plural: str


@dataclass(frozen=True, slots=True, eq=False)
class Noun:
    """A noun, the sex that "his" and "her" go by (empty where they are not used), and its semantic classes.

    `kind` is the first of the classes, within which the order of the table is that of frequency.
    """

    en: EnglishNoun
    de: GermanNoun
    fr: FrenchNoun
    sex: str
    kind: str
    tags: frozenset[str]

    @property
    def countable(self) -> bool:
        """Whether it has a plural."""
        return bool(self.en.plural)


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A noun for a place, with the prepositions that say "at it" and "to it" (the latter may be empty)."""

    noun: Noun
    en_at: str
    de_at: str
    de_to: str
    fr_at: str
    fr_to: str


@dataclass(frozen=True, slots=True)
class EnglishVerb:
    """Infinitive, third person, gerund, past, and the particle or preposition that follows."""

    base: str
    third: str
    gerund: str
    past: str
    particle: str


@dataclass(frozen=True, slots=True)
class GermanVerb:
    """Principal parts; infinitive and present forms are without the separable prefix."""

    infinitive: str
    prefix: str
    ich: str
    du: str
    er: str
    participle: str
    auxiliary: str
    preposition: str
    case: str


@dataclass(frozen=True, slots=True)
class FrenchVerb:
    """Principal parts and the preposition before the object."""

    infinitive: str
    je: str
    tu: str
    il: str
    nous: str
    ils: str
    participle: str
    auxiliary: str
    preposition: str


@dataclass(frozen=True, slots=True, eq=False)
class Verb:
    """A verb and the classes of nouns that may stand around it."""

    en: EnglishVerb
    de: GermanVerb
    fr: FrenchVerb
    subjects: frozenset[str]
    objects: frozenset[str]
    places: frozenset[str]
    manners: frozenset[str]
    traits: frozenset[Trait]

    @property
    def name(self) -> str:
        """The English lemma, which names the row."""
        return f"{self.en.base} {self.en.particle}".rstrip()

    @property
    def direct(self) -> bool:
        """Whether its object is a plain accusative in German and takes no preposition in French."""
        return self.de.case == "accusative" and not self.de.preposition and not self.fr.preposition


@dataclass(frozen=True, slots=True)
class GermanAdjective:
    """The predicative form, and the stem that endings are added to."""

    base: str
    stem: str


@dataclass(frozen=True, slots=True)
class FrenchAdjective:
    """Four forms, the masculine before a vowel, and on which side of its noun it stands."""

    masculine: str
    feminine: str
    masculine_plural: str
    feminine_plural: str
    before_vowel: str
    position: str


@dataclass(frozen=True, slots=True, eq=False)
class Adjective:
    """An adjective, whether it tells a passing state, and the classes of nouns that it fits."""

    en: str
    de: GermanAdjective
    fr: FrenchAdjective
    state: bool
    tags: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Adverb:
    """An adverb or a fixed phrase that serves as one.

    The moods are those that a time may stand with; "habit" among them says that what is done then is one.
    """

    en: str
    de: str
    fr: str
    kind: AdverbKind
    moods: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class CalendarWord:
    """A month or a weekday."""

    en: str
    de: str
    fr: str
    kind: str


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All tables, each in its order of frequency."""

    nouns: tuple[Noun, ...]
    places: tuple[Place, ...]
    verbs: tuple[Verb, ...]
    adjectives: tuple[Adjective, ...]
    adverbs: tuple[Adverb, ...]
    months: tuple[CalendarWord, ...]
    weekdays: tuple[CalendarWord, ...]

    def lemmas(self) -> dict[str, set[str]]:
        """The distinct lemmas of each language in the tables: no determiners, pronouns or numerals."""
        plain: list[Adverb | CalendarWord] = [*self.adverbs, *self.months, *self.weekdays]
        return {
            "en": {noun.en.singular for noun in self.nouns}
            | {verb.name for verb in self.verbs}
            | {adjective.en for adjective in self.adjectives}
            | {word.en for word in plain},
            "de": {noun.de.singular for noun in self.nouns}
            | {verb.de.prefix + verb.de.infinitive for verb in self.verbs}
            | {adjective.de.base for adjective in self.adjectives}
            | {word.de for word in plain},
            "fr": {noun.fr.singular for noun in self.nouns}
            | {verb.fr.infinitive for verb in self.verbs}
            | {adjective.fr.masculine for adjective in self.adjectives}
            | {word.fr for word in plain},
        }


@cache
def lexicon() -> Lexicon:
    """The tables that come with the package, read once."""
    nouns = tuple(_noun(row) for row in _rows("nouns"))
    by_name = {noun.en.singular: noun for noun in nouns}
    adverbs = tuple(
        Adverb(row["en"], row["de"], row["fr"], AdverbKind(row["kind"]), _set(row["moods"]))
        for row in _rows("adverbs")
    )
    calendar = tuple(CalendarWord(**row) for row in _rows("calendar"))
    return Lexicon(
        nouns=nouns,
        places=tuple(Place(by_name[row.pop("noun")], **row) for row in _rows("places")),
        verbs=tuple(_verb(row) for row in _rows("verbs")),
        adjectives=tuple(_adjective(row) for row in _rows("adjectives")),
        adverbs=adverbs,
        months=tuple(word for word in calendar if word.kind == "month"),
        weekdays=tuple(word for word in calendar if word.kind == "weekday"),
    )


def _rows(table: str) -> Iterable[Row]:
    """The rows of `lexicon/TABLE.tsv` by column name, a lone hyphen read as nothing."""
    text = files(__package__).joinpath("lexicon", f"{table}.tsv").read_text(encoding="utf-8")
    header, *lines = [line.split("\t") for line in text.splitlines()]
    for cells in lines:
        yield dict(zip(header, ["" if cell == "-" else cell for cell in cells], strict=True))


def _part(row: Row, language: str) -> Row:
    """The columns of one language, their names without the language."""
    prefix = language + "_"
    return {name.removeprefix(prefix): cell for name, cell in row.items() if name.startswith(prefix)}


def _set(cell: str) -> frozenset[str]:
    return frozenset(cell.split())


def _noun(row: Row) -> Noun:
    german = _part(row, "de")
    german["genitive"] = german["genitive"] or german["singular"]
    german["oblique"] = german["oblique"] or german["singular"]
    return Noun(
        en=EnglishNoun(**_part(row, "en")),
        de=GermanNoun(**german),
        fr=FrenchNoun(**_part(row, "fr")),
        sex=row["sex"],
        kind=row["tags"].split()[0],
        tags=_set(row["tags"]) | {row["en_singular"]},  # a verb may name a single noun
    )


def _verb(row: Row) -> Verb:
    return Verb(
        en=EnglishVerb(**_part(row, "en")),
        de=GermanVerb(**_part(row, "de")),
        fr=FrenchVerb(**_part(row, "fr")),
        subjects=_set(row["subjects"]),
        objects=_set(row["objects"]),
        places=_set(row["places"]),
        manners=_set(row["manners"]),
        traits=frozenset(Trait(trait) for trait in row["traits"].split()),
    )


def _adjective(row: Row) -> Adjective:
    german = _part(row, "de")
    return Adjective(
        en=row["en"],
        de=GermanAdjective(base=german["base"], stem=german["stem"] or german["base"]),
        fr=FrenchAdjective(**_part(row, "fr")),
        state=bool(row["state"]),
        tags=_set(row["tags"]),
    )
