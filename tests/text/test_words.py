import pytest

from weft.errors import UserError
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer
from weft.text.words import spellings

TEXTS = ["the dog sees a dog", 'a "dog" and (dogs) in a hot-dog', "main dog in the main inn"] * 5


def spelt(tokenizer: Tokenizer, text: str) -> list[list[str]]:
    """The spellings as a reader may see them."""
    found = spellings(text, encode=tokenizer.encode, start=tokenizer.bos_id, unknown=tokenizer.unk_id)
    return [tokenizer.tokens(ids) for ids in found]


def test_a_word_after_a_space_and_after_marks() -> None:
    tokenizer = train_tokenizer(TEXTS, kind="bpe", size=60)
    after_space, *others = spelt(tokenizer, "dog")
    assert "".join(after_space) == "▁dog"
    joined = ["".join(tokens) for tokens in others]
    assert joined == ['▁"dog', "▁(dog", "-dog"]  # marks that the text has; the beginning is as after a space


def test_what_stands_at_the_beginning_is_bound_to_it() -> None:
    tokenizer = train_tokenizer(TEXTS, kind="characters")
    found = spelt(tokenizer, "dog")
    assert found[0] == ["▁", "d", "o", "g"]
    assert found[-1] == ["<s>", "d", "o", "g"]
    assert ["d", "o", "g"] not in found  # which would be in "hotdog" too


@pytest.mark.parametrize("kind", ["bpe", "unigram", "wordpiece", "words", "characters"])
def test_every_sentence_with_the_word_holds_a_spelling(kind: str) -> None:
    tokenizer = train_tokenizer(TEXTS, kind=kind)  # type: ignore[arg-type]
    found = spellings("dog", encode=tokenizer.encode, start=tokenizer.bos_id, unknown=tokenizer.unk_id)
    for text, holds in [("dog in the inn", True), ("the dog", True), ("the main inn", False)]:
        ids = (tokenizer.bos_id, *tokenizer.encode([text])[0])
        held = any(ids[at : at + len(word)] == word for word in found for at in range(len(ids)))
        assert held is holds, text


def test_a_phrase_keeps_its_words() -> None:
    tokenizer = train_tokenizer(TEXTS, kind="words")
    assert spelt(tokenizer, " the dog ") == [["the", "dog"]]


@pytest.mark.parametrize(
    ("text", "message"), [("  ", "no word to ban or to force"), ("zebra", 'no tokens to write it|"zebra"')]
)
def test_what_no_model_could_write(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        spelt(train_tokenizer(TEXTS, kind="words"), text)
