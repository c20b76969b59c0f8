"""A translator in use: words that its output must not hold, and those that it must."""

from typing import Any

import pytest
import torch

from weft.config import ModelConfig
from weft.errors import UserError
from weft.models.seq2seq import Seq2Seq
from weft.text.training import train_tokenizer
from weft.translator import Translator, TranslatorConfig

WORDS = ["dog", "cat", "house", "green", "runs", "sees", "Dog"]


def translator(**generation: Any) -> Translator:
    """Random weights, and a word for every token, so that outputs can be read."""
    tokenizer = train_tokenizer([" ".join(WORDS)], kind="words", size=20)
    shape = {"width": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 1, "decoder_layers": 1}
    model = ModelConfig.model_validate({"vocabulary": tokenizer.vocab_size, "max_length": 32, **shape})
    config = TranslatorConfig(directions=(("de", "en"),), tags=False, model=model, generation=generation)
    torch.manual_seed(0)
    return Translator(config, model=Seq2Seq(model), tokenizer=tokenizer)


def outputs(translator: Translator, **options: Any) -> list[list[str]]:
    answers = translator.translate(["dog sees cat", "green house", "Dog runs"], max_length=10, **options)
    return [answer.text.split() for answer in answers]


def test_banned_words_are_in_no_output() -> None:
    plain = outputs(translator())
    used = {word for words in plain for word in words}
    assert used
    for word in used:
        found = outputs(translator(), banned_words=[word])
        assert found != plain
        assert not any(word in words for words in found)
    assert outputs(translator(), banned_words=max(used)) == outputs(translator(), banned_words=[max(used)])


def test_banned_words_come_beside_those_of_the_model() -> None:
    dog = translator().tokenizer.token_id("dog")
    found = outputs(translator(banned=[[dog]]), banned_words=["cat", "Dog"])
    assert not any({"dog", "cat", "Dog"} & set(words) for words in found)


def test_forced_words_are_in_every_output() -> None:
    assert not any("green house" in " ".join(words) for words in outputs(translator()))
    for options in ({}, {"beams": 1}, {"beams": 2}):
        found = outputs(translator(), forced_words=["green house", "cat"], **options)
        assert all("green house" in " ".join(words) and "cat" in words for words in found)


def test_what_cannot_be() -> None:
    with pytest.raises(UserError, match="no output of at most 10 tokens obeys all"):
        outputs(translator(), banned_words=["cat"], forced_words=["cat"])
    with pytest.raises(UserError, match='"zebra" cannot be banned or forced'):
        outputs(translator(), forced_words=["zebra"])
    with pytest.raises(UserError, match="sampling has no beams"):
        outputs(translator(), forced_words=["cat"], sample=True)
