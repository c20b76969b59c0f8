import pytest

from weft.text.encode import Encoded, encode_lines
from weft.text.training import train_tokenizer

TOKENIZER = train_tokenizer(["a b c d e f"], kind="characters", special=["<2de>"])


def letters(text: str) -> list[int]:
    return TOKENIZER.encode([text])[0]


def test_a_prefix_and_the_end_are_added() -> None:
    tag = TOKENIZER.token_id("<2de>")
    assert encode_lines(TOKENIZER, ["abc", ""], prefix=tag, maximum=9) == [
        Encoded([tag, *letters("abc"), TOKENIZER.eos_id], over=False),
        Encoded([tag, TOKENIZER.eos_id], over=False),
    ]
    assert encode_lines(TOKENIZER, ["a"], prefix=None, maximum=9)[0].ids == [*letters("a"), TOKENIZER.eos_id]


def test_what_is_too_long_is_flagged_and_left_whole() -> None:
    fits, over = encode_lines(TOKENIZER, ["abc", "abcd"], prefix=4, maximum=5)
    assert (fits.over, over.over) == (False, True)
    assert over.ids == [4, *letters("abcd"), TOKENIZER.eos_id]


def test_what_is_too_long_is_cut_only_when_asked() -> None:
    fits, over = encode_lines(TOKENIZER, ["abc", "abcd"], prefix=4, maximum=5, cut=True)
    assert over == Encoded([4, *letters("abc"), TOKENIZER.eos_id], over=True)
    assert fits == Encoded([4, *letters("abc"), TOKENIZER.eos_id], over=False)


def test_a_maximum_without_room_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no room for text"):
        encode_lines(TOKENIZER, ["a"], prefix=4, maximum=2)
