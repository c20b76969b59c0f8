"""Byte-level BPE that gives a text back exactly as it was, for models that write white space too."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

TEXT = "  Once upon a time,\n\tthere was a café.\n\n\nThe end.  \n"


@pytest.fixture(scope="module")
def exact() -> Tokenizer:
    """One that holds every byte."""
    return train_tokenizer([TEXT] * 4, size=2048, exact=True)


@settings(max_examples=60)
@given(st.text())
def test_every_text_comes_back(exact: Tokenizer, text: str) -> None:
    assert exact.decode(exact.encode([text])) == [text]


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n", "\n\n", " a", "a ", "a\n", "\r\n", "cafe\u0301", "a</s>b", "<s>", "1,234.5", "日本 ❤\n"],
)
def test_white_space_and_signs_come_back(exact: Tokenizer, text: str) -> None:
    (ids,) = exact.encode([text])
    assert exact.decode([ids]) == [text]
    assert not {exact.bos_id, exact.eos_id, exact.pad_id, exact.unk_id} & set(ids)


def test_a_small_one_gives_its_own_text_back_and_spells_it_in_fewer_pieces() -> None:
    small = train_tokenizer([TEXT] * 4, size=80, exact=True)
    (ids,) = small.encode([TEXT])
    assert small.decode([ids]) == [TEXT]
    assert len(ids) < len(TEXT)


def test_lines_are_the_same_pieces_alone_and_together() -> None:
    lines = TEXT.splitlines(keepends=True)
    tokenizer = train_tokenizer(lines * 4, size=120, exact=True)
    (whole,) = tokenizer.encode([TEXT])
    assert [id_ for ids in tokenizer.encode(lines) for id_ in ids] == whole


def test_where_it_need_not_be_exact_white_space_around_a_text_is_lost() -> None:
    tokenizer = train_tokenizer([TEXT] * 4, size=2048)
    assert tokenizer.decode(tokenizer.encode([" a time\n"])) == ["a time"]


def test_characters_keep_the_ends_of_lines_and_words_do_not() -> None:
    characters, words = (train_tokenizer([TEXT], kind=kind) for kind in ("characters", "words"))
    assert characters.decode(characters.encode([TEXT])) == [TEXT]
    assert words.encode(["the end.\n"]) == words.encode(["the end."])


def test_words_that_a_text_calls_unknown_leave_no_gap() -> None:
    tokenizer = train_tokenizer(["a <unk> b <unk> a b c c </s> <pad>"] * 2, kind="words")
    (ids,) = tokenizer.encode(["a <unk> b c </s>"])
    assert sorted(set(ids)) == [tokenizer.unk_id, *range(4, 7)]
    assert tokenizer.vocab_size == 7 and tokenizer.token_id("<unk>") == 3
