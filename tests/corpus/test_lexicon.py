"""What the tables must keep to for every meaning to have one sentence, and every sentence one meaning."""

from collections import Counter

import pytest

from weft.corpus.meaning import Mood
from weft.corpus.words import Adjective, AdverbKind, Lexicon, Noun, Verb, lexicon

VOWELS = tuple("aeiouhâàéèêëîïôœ")


@pytest.fixture(scope="module")
def words() -> Lexicon:
    return lexicon()


def test_each_language_has_at_least_300_lemmas(words: Lexicon) -> None:
    counts = {language: len(lemmas) for language, lemmas in words.lemmas().items()}
    assert min(counts.values()) >= 300, counts


def _repeated(forms: list[str]) -> set[str]:
    return {form for form, count in Counter(forms).items() if count > 1}


def test_lemmas_correspond_one_to_one(words: Lexicon) -> None:
    verbs, adjectives = words.verbs, words.adjectives
    small = (*words.adverbs, *words.months, *words.weekdays)
    columns = {
        "English nouns": [noun.en.singular for noun in words.nouns],
        "German nouns": [noun.de.singular for noun in words.nouns],
        "French nouns": [noun.fr.singular for noun in words.nouns],
        "English verbs": [verb.name for verb in verbs],
        "German verbs": [f"{v.de.prefix}{v.de.infinitive} {v.de.preposition}".rstrip() for v in verbs],
        "French verbs": [f"{v.fr.infinitive} {v.fr.preposition}".rstrip() for v in verbs],
        "English adjectives": [adjective.en for adjective in adjectives],
        "German adjectives": [adjective.de.base for adjective in adjectives],
        "French adjectives": [adjective.fr.masculine for adjective in adjectives],
        "English adverbs": [word.en for word in small],
        "German adverbs": [word.de for word in small],
        "French adverbs": [word.fr for word in small],
    }
    assert {name: _repeated(forms) for name, forms in columns.items() if _repeated(forms)} == {}


def test_no_two_forms_of_a_noun_look_alike_where_nothing_else_would_tell(words: Lexicon) -> None:
    nouns = [noun for noun in words.nouns if noun.countable]
    assert [noun.en.singular for noun in nouns if noun.en.singular == noun.en.plural] == []
    forms = [
        noun.de.singular for noun in nouns if noun.de.gender == "f" and noun.de.singular == noun.de.plural
    ]
    assert forms == []  # "die" is singular and plural


def test_no_english_past_looks_like_the_present(words: Lexicon) -> None:
    assert [verb.name for verb in words.verbs if verb.en.past == verb.en.base] == []


def test_mass_nouns_lack_every_plural_and_others_none(words: Lexicon) -> None:
    for noun in words.nouns:
        plurals = (noun.en.plural, noun.de.plural, noun.fr.plural)
        assert all(plurals) or not any(plurals), noun.en.singular


def test_genders_and_genitives(words: Lexicon) -> None:
    for noun in words.nouns:
        name = noun.en.singular
        assert noun.de.gender in "mfn", name
        assert noun.fr.gender in "mf", name
        assert noun.sex in ("", "m", "f"), name
        if noun.de.gender == "f":
            assert noun.de.genitive == noun.de.oblique == noun.de.singular, name
        else:
            assert noun.de.genitive.endswith(("s", "n")), name
        if noun.de.oblique != noun.de.singular:  # the weak masculines
            assert noun.de.genitive == noun.de.oblique, name
        assert noun.de.singular[0].isupper(), name


def test_the_sex_of_people_agrees_with_both_genders(words: Lexicon) -> None:
    for noun in words.nouns:
        if noun.sex:
            assert noun.sex == noun.de.gender == noun.fr.gender, noun.en.singular


def test_no_french_word_begins_with_an_aspirated_h(words: Lexicon) -> None:
    mute = {"homme", "hôtel", "hôpital", "histoire", "heureux", "heureuse", "heureuses", "habiter"}
    french = [noun.fr.singular for noun in words.nouns] + [verb.fr.infinitive for verb in words.verbs]
    french += [adjective.fr.masculine for adjective in words.adjectives]
    assert {word for word in french if word.startswith("h")} <= mute


def test_german_verbs_agree_with_the_rules_for_endings(words: Lexicon) -> None:
    for verb in words.verbs:
        assert verb.de.infinitive.endswith("n"), verb.name
        assert verb.de.ich.endswith("e"), verb.name
        assert verb.de.du.endswith(("st", "zt", "ßt")), verb.name
        assert verb.de.er.endswith("t") or verb.de.er == "lädt", verb.name
        assert verb.de.participle.startswith(verb.de.prefix), verb.name
        assert verb.de.auxiliary in ("haben", "sein"), verb.name
        assert bool(verb.de.case) == bool(verb.objects), verb.name


def test_french_verbs_agree_with_the_rules_for_endings(words: Lexicon) -> None:
    for verb in words.verbs:
        parts = verb.fr
        if not parts.je:  # the weather
            assert parts.il, verb.name
            continue
        assert parts.tu.endswith("s"), verb.name
        assert parts.nous.endswith("ons"), verb.name
        assert parts.ils.endswith(("ent", "vont")), verb.name
        if parts.infinitive.endswith("er") and parts.infinitive != "aller":
            assert parts.participle == parts.infinitive[:-2] + "é", verb.name
            assert parts.je == parts.il == parts.tu[:-1], verb.name


def test_french_adjectives_agree_with_the_rules_for_endings(words: Lexicon) -> None:
    for adjective in words.adjectives:
        forms = adjective.fr
        assert forms.feminine.endswith("e"), adjective.en
        assert forms.feminine_plural == forms.feminine + "s", adjective.en
        assert forms.masculine_plural.endswith(("s", "x")), adjective.en
        assert forms.position in ("before", "after"), adjective.en


def test_every_class_that_a_word_asks_for_has_members(words: Lexicon) -> None:
    known = {tag for noun in words.nouns for tag in noun.tags}
    for verb in words.verbs:
        assert verb.subjects | verb.objects <= known, verb.name
        assert all(any(tag in place.noun.tags for place in words.places) for tag in verb.places), verb.name
    for adjective in words.adjectives:
        assert adjective.tags <= known, adjective.en
    manners = {adverb.en for adverb in words.adverbs if adverb.kind is AdverbKind.MANNER}
    assert {manner for verb in words.verbs for manner in verb.manners} == manners


def test_every_place_noun_has_its_prepositions(words: Lexicon) -> None:
    assert {place.noun for place in words.places} == {noun for noun in words.nouns if noun.kind == "place"}
    for place in words.places:
        assert place.en_at, place.noun.en.singular
        assert bool(place.de_to) == bool(place.fr_to) == ("goal" in place.noun.tags), place.noun.en.singular


def test_there_is_a_time_for_every_mood(words: Lexicon) -> None:
    moods = {mood for adverb in words.adverbs for mood in adverb.moods} - {"habit"}
    assert moods == {Mood.PRESENT.value, Mood.PAST.value, Mood.FUTURE.value, "modal"}


@pytest.mark.parametrize(("kind", "least"), [(Noun, 150), (Verb, 80), (Adjective, 40)])
def test_the_open_classes_are_large(words: Lexicon, kind: type, least: int) -> None:
    tables = (words.nouns, words.verbs, words.adjectives)
    assert len(next(table for table in tables if isinstance(table[0], kind))) >= least
