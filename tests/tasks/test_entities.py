"""Schemes of tags, both ways; and texts in words."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from weft.data.conll import Columns
from weft.errors import UserError
from weft.tasks.entities import (
    Scheme,
    Span,
    find_scheme,
    labels_of,
    read_tagged,
    split_words,
    to_iob2,
    to_spans,
)


def columns(*tags: str, line: int = 1) -> Columns:
    return Columns(tuple("w" * len(tags)), tags, "a.conll", line)


@st.composite
def sentences(draw: st.DrawFn) -> tuple[list[Span], int]:
    """Entities, some of them side by side, and how many words there are."""
    spans, at = [], 0
    for gap, length, label in draw(
        st.lists(
            st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(["A", "B-C", "Ä"])), max_size=5
        )
    ):
        spans.append(Span(at + gap, at + gap + length, label))
        at = spans[-1].end
    return spans, at + draw(st.integers(0, 2))


def to_iob1(spans: Sequence[Span], words: int) -> list[str]:
    tags = to_iob2(spans, words=words)
    for before, span in zip([None, *spans], spans, strict=False):
        if before is None or before.end < span.begin or before.label != span.label:
            tags[span.begin] = f"I-{span.label}"
    return tags


def to_bioes(spans: Sequence[Span], words: int, *, letters: str = "BES") -> list[str]:
    tags = to_iob2(spans, words=words)
    for begin, end, label in spans:
        tags[end - 1] = f"{letters[1]}-{label}"
        if end - begin == 1:
            tags[begin] = f"{letters[2]}-{label}"
    return tags


@given(sentences())
def test_every_scheme_says_the_same(drawn: tuple[list[Span], int]) -> None:
    spans, words = drawn
    schemes: dict[Scheme, list[str]] = {
        "iob1": to_iob1(spans, words),
        "iob2": to_iob2(spans, words=words),
        "bioes": to_bioes(spans, words),
    }
    for scheme, tags in schemes.items():
        assert to_spans(columns(*tags), scheme=scheme) == tuple(spans)
        found = find_scheme([columns(*tags)])
        assert to_spans(columns(*tags), scheme=found) == tuple(spans)
    bilou = columns(*to_bioes(spans, words, letters="BLU"))
    assert to_spans(bilou, scheme="bioes") == tuple(spans)
    assert find_scheme([columns(*schemes["bioes"])]) == ("bioes" if spans else "iob2")


@given(sentences())
def test_seqeval_reads_the_same_entities(drawn: tuple[list[Span], int]) -> None:
    spans, words = drawn
    found = get_entities(to_iob2(spans, words=words))
    assert [Span(begin, end + 1, label) for label, begin, end in found] == spans


def test_the_scheme_is_found_in_all_sentences_together() -> None:
    plain = columns("B-A", "I-A", "O")
    assert find_scheme([plain]) == find_scheme([columns("O")]) == "iob2"
    assert find_scheme([columns("O", "I-A", "B-A")]) == "iob1"
    assert find_scheme([columns("I-A", "I-B")]) == "iob1"
    assert find_scheme([plain, columns("S-A")]) == find_scheme([plain, columns("U-A")]) == "bioes"


def test_an_impossible_mixture_is_refused() -> None:
    mixed = [columns("O", "B-A", line=3), columns("O", "I-A", line=7)]
    message = (
        r'a\.conll:8: "I-A" begins an entity, as in IOB1, but at a\.conll:4 "B-A" does, as in IOB2: mend'
    )
    with pytest.raises(UserError, match=message):
        find_scheme(mixed)
    assert [to_spans(each, scheme="iob1") for each in mixed] == [(Span(1, 2, "A"),)] * 2


@pytest.mark.parametrize("tag", ["", "o", "B", "I-", "B- ", "X-A", "BA", "b-A", "-A"])
def test_a_tag_that_fits_no_scheme_is_refused(tag: str) -> None:
    wrong = columns("O", tag, line=5)
    for read in (lambda: find_scheme([wrong]), lambda: to_spans(wrong, scheme="bioes")):
        with pytest.raises(UserError, match=rf'a\.conll:6: the tag "{tag}" fits no scheme: a tag is O, or'):
            read()


@pytest.mark.parametrize(
    ("scheme", "tags", "line", "message"),
    [
        ("iob2", ["O", "I-A"], 2, 'the tag "I-A" follows neither "B-A" nor "I-A", as IOB2 needs it'),
        ("iob2", ["B-B", "I-A"], 2, 'follows neither "B-A"'),
        ("iob2", ["S-A"], 1, "is of the scheme BIOES: set tag.scheme to bioes"),
        ("iob1", ["O", "L-A"], 2, "is of the scheme BIOES"),
        ("bioes", ["O", "E-A"], 2, 'follows neither "B-A" nor "I-A", as BIOES needs it'),
        ("bioes", ["B-A", "I-B", "E-B"], 2, 'follows neither "B-B"'),
        ("bioes", ["S-A", "I-A"], 2, 'follows neither "B-A"'),
        ("bioes", ["B-A", "O"], 1, 'the tag "B-A" is not ended by an "E-A"'),
        ("bioes", ["B-A", "I-A", "S-A"], 2, 'the tag "I-A" is not ended'),
        ("bioes", ["O", "B-A"], 2, "is not ended"),
        ("bioes", ["B-A", "B-A", "E-A"], 1, "is not ended"),
    ],
)
def test_a_tag_out_of_place_is_refused(scheme: Scheme, tags: list[str], line: int, message: str) -> None:
    with pytest.raises(UserError, match=rf"a\.conll:{line}: .*{message}"):
        to_spans(columns(*tags), scheme=scheme)


def words_of(text: str) -> list[str]:
    return [text[begin:end] for begin, end in split_words(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n", []),
        ("Rome, I'm (not) here!", ["Rome", ",", "I", "'", "m", "(", "not", ")", "here", "!"]),
        ("New-York/NY", ["New", "-", "York", "/", "NY"]),
        ("R.H. Saunders of the U.S.", ["R.H.", "Saunders", "of", "the", "U.S."]),
        ("at 10:30, 1,234.5 or 3.", ["at", "10", ":", "30", ",", "1,234.5", "or", "3", "."]),
        ("Zürich e\u0301te\u0301 snake_case", ["Zürich", "e\u0301te\u0301", "snake", "_", "case"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("می\u200cخواهم", ["می\u200cخواهم"]),
        ("北京は、東京", ["北", "京", "は", "、", "東", "京"]),
        ("서울은 좋다", ["서울은", "좋다"]),
        ("😀👍🏽 ok", ["😀", "👍", "🏽", "ok"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text(st.characters(codec="utf-8")))
def test_words_hold_all_that_is_not_white_space(text: str) -> None:
    places = split_words(text)
    assert [end for _, end in places[:-1]] <= [begin for begin, _ in places[1:]]
    assert "".join(words_of(text)) == "".join(text.split())
    assert not any(character.isspace() for word in words_of(text) for character in word)


def write(path: Path, *records: object) -> str:
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return str(path)


def test_columns_and_marked_texts_become_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("In O\nNew I-LOC\nYork I-LOC\n, O\nEve I-PER\n\nNo O\n")
    one = read_tagged([str(tmp_path / "a.conll")], scheme="auto")
    texts = [
        {"text": "In New York , Eve", "entities": [[14, 17, "PER"], [3, 11, "LOC"]]},
        {"text": "No", "entities": []},
    ]
    other = read_tagged([write(tmp_path / "a.jsonl", *texts)], scheme="auto")
    assert [each[:-1] for each in one.sentences] == [each[:-1] for each in other.sentences]
    first, second = one.sentences
    assert first.text == "In New York , Eve"
    assert first.words == ((0, 2), (3, 6), (7, 11), (12, 13), (14, 17))
    assert first.spans == (Span(1, 3, "LOC"), Span(4, 5, "PER"))
    assert [each.place for each in one.sentences] == [f"{tmp_path}/a.conll:1", f"{tmp_path}/a.conll:7"]
    assert [each.place for each in other.sentences] == [f"{tmp_path}/a.jsonl:1", f"{tmp_path}/a.jsonl:2"]
    assert labels_of(one.sentences) == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    assert not one.notes and not other.notes
    assert second.spans == ()


def test_each_file_has_its_scheme(tmp_path: Path) -> None:
    for name, tags in {"a": "I-A", "b": "B-A", "c": "U-A"}.items():
        (tmp_path / f"{name}.conll").write_text(f"w {tags}\n")
    found = read_tagged([f"{tmp_path}/*.conll"], scheme="auto")
    assert [each.spans for each in found.sentences] == [(Span(0, 1, "A"),)] * 3
    with pytest.raises(UserError, match=r'a\.conll:1: the tag "I-A" follows neither'):
        read_tagged([f"{tmp_path}/*.conll"], scheme="iob2")


def test_entities_that_are_no_whole_words_are_told(tmp_path: Path) -> None:
    text = "Berlinfahrt nach Rom \u00a0"
    file = write(
        tmp_path / "a.jsonl",
        {"text": text, "entities": [[0, 6, "LOC"], [6, 11, "MISC"], [16, 22, "LOC"]]},
        {"text": text, "entities": [[20, 22, "LOC"]]},
        {"text": " \n", "entities": []},
    )
    found = read_tagged([file], scheme="auto")
    assert [each.spans for each in found.sentences] == [(Span(0, 1, "LOC"), Span(2, 3, "LOC")), ()]
    assert found.notes == [
        f"1 left out as empty: {file}:3",
        f"entities that begin or end within a word, which counts as theirs: 1, at {file}:1",
        f"entities left out, which have no word of their own: 2, at {file}:1, {file}:2",
    ]


def test_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("-DOCSTART- O\n\n\n")
    with pytest.raises(UserError, match=r"a\.conll: not a single sentence"):
        read_tagged([str(tmp_path / "a.conll")], scheme="auto")


@pytest.mark.parametrize(
    ("spec", "sentences", "entities", "labels"),
    [
        ("wnut17/train.conll", 3_394, 1_975, 6),
        ("wnut17/dev.conll", 1_009, 836, 6),
        ("wnut17/test.conll", 1_287, 1_079, 6),
        ("wikiann/en/dev.conll.gz", 10_000, 14_146, 3),
        ("wikiann/de/dev.conll.gz", 10_000, 13_818, 3),
        ("wikiann/fr/dev.conll.gz", 10_000, 13_156, 3),
    ],
)
def test_published_data(spec: str, sentences: int, entities: int, labels: int, weft_data: Path) -> None:
    found = read_tagged([str(weft_data / spec)], scheme="auto")
    assert len(found.sentences) == sentences
    assert sum(len(sentence.spans) for sentence in found.sentences) == entities
    assert len(labels_of(found.sentences)) == 1 + 2 * labels
    assert not found.notes
