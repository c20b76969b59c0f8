"""The corpus as a whole: the same every time, unambiguous, of known size, and with combinations held out."""

import re
import time
from collections import Counter, defaultdict
from itertools import pairwise, permutations
from pathlib import Path
from random import Random

import pytest
import sacrebleu

from weft.corpus import Triple, generate, split_corpus, write_corpus
from weft.corpus.grammar import Grammar
from weft.corpus.meaning import Pairing, pairings
from weft.corpus.split import is_held_out
from weft.corpus.words import lexicon
from weft.errors import UserError

FIRST = (
    "The students know the long songs.",
    "Die Studenten kennen die langen Lieder.",
    "Les étudiants connaissent les longues chansons.",
)
Parts = dict[str, list[Triple]]
LANGUAGES = Triple._fields


@pytest.fixture(scope="module")
def parts() -> Parts:
    return split_corpus(seed=1, train=12_000, valid=200, test=400)


def tokens(text: str) -> list[str]:
    return re.findall(r"[\w'-]+|[^\w\s]", text)


def test_a_seed_gives_the_same_sentences_every_time() -> None:
    assert list(generate(seed=7, count=50)) == list(generate(seed=7, count=50))
    assert list(generate(seed=7, count=50)) != list(generate(seed=8, count=50))
    assert split_corpus(seed=3, train=200, valid=20, test=20) == split_corpus(
        seed=3, train=200, valid=20, test=20
    )


def test_the_sentences_of_a_seed_stay_what_they_were() -> None:
    """A change of the grammar is welcome, and then this line changes with it."""
    assert next(generate(seed=1, count=1)) == Triple(*FIRST)


def test_generate_gives_as_many_as_asked() -> None:
    assert len(list(generate(seed=1, count=0))) == 0
    assert len(list(generate(seed=1, count=17))) == 17


def test_parts_have_their_sizes_and_share_no_sentence(parts: Parts) -> None:
    assert {name: len(triples) for name, triples in parts.items()} == {
        "test": 400,
        "valid": 200,
        "train": 12_000,
    }
    for language in LANGUAGES:
        sentences = Counter(getattr(triple, language) for triples in parts.values() for triple in triples)
        assert max(sentences.values()) == 1


def test_any_language_determines_the_other_two() -> None:
    meanings: dict[tuple[str, str], set[Triple]] = defaultdict(set)
    for triple in generate(seed=11, count=12_000):
        for language in LANGUAGES:
            meanings[language, getattr(triple, language)].add(triple)
    assert [triples for triples in meanings.values() if len(triples) > 1] == []


def test_unseen_adjective_noun_pairs_stand_in_the_test_part_and_never_in_training(parts: Parts) -> None:
    """Found in the text alone, whatever the generator says of itself."""
    adjectives = {adjective.en for adjective in lexicon().adjectives}
    lemma = {form: n.en.singular for n in lexicon().nouns for form in (n.en.singular, n.en.plural) if form}

    def attributes(part: str) -> set[tuple[str, str]]:
        found = set()
        for triple in parts[part]:
            words = re.findall(r"[\w-]+", triple.en.lower())
            for before, after in pairwise(words):
                if before in adjectives and after in lemma:
                    found.add((before, lemma[after]))
        return found

    unseen = attributes("test") - attributes("train")
    assert len(unseen) >= 40
    held_out = {
        pair for pair in attributes("test") | attributes("valid") if is_held_out(Pairing("adjective", *pair))
    }
    assert len(held_out) >= 40
    assert not held_out & attributes("train")


def test_each_test_sentence_holds_a_pairing_that_training_lacks(parts: Parts) -> None:
    """The meanings drawn again from the same seed, and the pairings that each part shows."""
    grammar = Grammar(lexicon(), random=Random(1))
    shown, held_out = set(), Counter[str]()
    for _ in range(12_000):
        found = set(pairings(grammar.sentence()))
        unseen = {pairing for pairing in found if is_held_out(pairing)}
        held_out.update(pairing.kind for pairing in unseen)
        if not unseen:
            shown |= found
    assert not any(map(is_held_out, shown))
    assert set(held_out) == {"adjective", "object", "subject"}
    assert min(held_out.values()) > 100


def test_training_shows_every_lemma_often_and_nearly_every_form_of_the_test(parts: Parts) -> None:
    shown = {language: Counter[str]() for language in LANGUAGES}
    for triple in parts["train"]:
        for language in LANGUAGES:
            shown[language].update(tokens(getattr(triple, language)))
    for noun in lexicon().nouns:
        forms = {noun.en.singular, noun.en.plural} - {""}
        assert sum(shown["en"][form] for form in forms) > 4, noun.en.singular
    for verb in lexicon().verbs:
        english = verb.en
        forms = {english.base, english.third, english.gerund, english.past} - {""}
        assert sum(shown["en"][form] for form in forms) > 4, verb.name
    for adjective in lexicon().adjectives:
        assert shown["en"][adjective.en] > 4, adjective.en
    for language in LANGUAGES:
        tested = Counter(token for triple in parts["test"] for token in tokens(getattr(triple, language)))
        unknown = sum(count for form, count in tested.items() if form not in shown[language])
        assert unknown / tested.total() < 0.01, language


def test_sentences_are_short(parts: Parts) -> None:
    lengths = [len(triple.en.split()) for triple in parts["train"]]
    assert sum(4 <= length <= 12 for length in lengths) / len(lengths) > 0.85
    assert sum(lengths) / len(lengths) < 9


def test_sentences_are_written_as_sentences(parts: Parts) -> None:
    for triple in parts["train"][:3000]:
        for text in triple:
            assert text[0].isupper()
            assert text[-1] in ".?"
            assert re.search(r"\s\s|\s[.,]|,[.?]|,,", text) is None
            assert text == text.strip()
        assert triple.fr.endswith(" ?") == triple.en.endswith("?") == triple.de.endswith("?")
        assert re.search(r"\b(je|le|la|de|ne|que|me|te) [aeiouéèêâôœ]", triple.fr) is None
        assert re.search(r"\b(à les?|de les?|à le) (?![aeiouyhéèêâôœ])", triple.fr) is None


def dictionary(pairs: list[tuple[list[str], list[str]]], *, rounds: int = 4) -> dict[str, str]:
    """For each source form the likeliest target form, by expectation maximisation (Brown et al. 1993, Model 1)."""
    chances: dict[tuple[str, str], float] = defaultdict(lambda: 1.0)
    for _ in range(rounds):
        counts: dict[tuple[str, str], float] = defaultdict(float)
        totals: dict[str, float] = defaultdict(float)
        for source, target in pairs:
            for word in target:
                whole = sum(chances[word, origin] for origin in source)
                for origin in source:
                    share = chances[word, origin] / whole
                    counts[word, origin] += share
                    totals[origin] += share
        chances = defaultdict(float, {pair: count / totals[pair[1]] for pair, count in counts.items()})
    best: dict[str, tuple[float, str]] = {}
    for (word, origin), chance in chances.items():
        best[origin] = max(best.get(origin, (0.0, "")), (chance, word))
    return {origin: word for origin, (_, word) in best.items()}


def word_for_word(text: str, words: dict[str, str]) -> str:
    translated = re.sub(r" ([.,?])", r"\1", " ".join(words.get(token, token) for token in tokens(text)))
    return translated[0].upper() + translated[1:]


def test_a_dictionary_stays_under_40_bleu_in_every_direction(parts: Parts) -> None:
    scores = {}
    for source, target in permutations(LANGUAGES, 2):
        pairs = [(tokens(getattr(t, source)), tokens(getattr(t, target))) for t in parts["train"][:2500]]
        words = dictionary(pairs)
        answers = [word_for_word(getattr(triple, source), words) for triple in parts["test"]]
        references = [getattr(triple, target) for triple in parts["test"]]
        scores[source, target] = sacrebleu.corpus_bleu(answers, [references]).score
    assert max(scores.values()) < 40, scores
    assert max(score for pair, score in scores.items() if "de" in pair) < 35, scores
    assert 10 < sum(scores.values()) / len(scores) < 30, scores


def test_files_hold_the_parts_line_by_line(tmp_path: Path) -> None:
    write_corpus(tmp_path / "new" / "corpus", seed=5, train=60, valid=7, test=9)
    expected = split_corpus(seed=5, train=60, valid=7, test=9)
    names = {f"{part}.{language}" for part in expected for language in LANGUAGES}
    assert {path.name for path in (tmp_path / "new" / "corpus").iterdir()} == names
    for part, triples in expected.items():
        for language in LANGUAGES:
            lines = (tmp_path / "new" / "corpus" / f"{part}.{language}").read_bytes().decode().split("\n")
            assert lines == [*(getattr(triple, language) for triple in triples), ""]


def test_a_folder_that_cannot_be_written_is_the_users_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        write_corpus(tmp_path / "file" / "corpus", train=1, valid=1, test=1)


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(UserError, match="valid part"):
        split_corpus(train=1, valid=-1, test=1)


@pytest.mark.slow
def test_thirty_thousand_sentences_take_seconds() -> None:
    began = time.process_time()
    assert sum(1 for _ in generate(seed=1, count=30_000)) == 30_000
    assert time.process_time() - began < 6  # two on an idle machine
