"""A translator in use: what it is given and gives back, and words that its output must not or must hold."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from weft.config import ModelConfig, TranslatorConfig
from weft.errors import UserError
from weft.models.seq2seq import Seq2Seq
from weft.pipelines.torch_seq2seq import TorchSeq2Seq
from weft.pipelines.translator import Translation, Translator
from weft.text.training import train_tokenizer

WORDS = ["dog", "cat", "house", "green", "runs", "sees", "Dog"]


def translator(**generation: Any) -> Translator:
    """Random weights, and a word for every token, so that outputs can be read."""
    tokenizer = train_tokenizer([" ".join(WORDS)], kind="words", size=20)
    shape = {"width": 32, "heads": 2, "feed_forward": 64, "encoder_layers": 1, "decoder_layers": 1}
    model = ModelConfig.model_validate({"vocabulary": tokenizer.vocab_size, "max_length": 32, **shape})
    config = TranslatorConfig(directions=(("de", "en"),), tags=False, model=model, generation=generation)
    torch.manual_seed(0)
    return Translator(config, network=TorchSeq2Seq(Seq2Seq(model)), tokenizer=tokenizer)


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
    with pytest.raises(UserError, match="forced: only beam search uses this"):
        outputs(translator(), forced_words=["cat"], sample=True)


def test_a_blank_text_has_an_empty_translation() -> None:
    empty = translator().translate("", max_length=10)
    assert (empty.text, empty.tokens, empty.score, empty.alignment) == ("", [], 0.0, [])
    assert (empty.refused, empty.truncated) == (False, False)
    dog = translator().translate("dog", max_length=10)
    assert dog.text
    assert translator().translate([" \t", "dog", "\n" * 100], max_length=10) == [empty, dog, empty]
    ((first, second), (nothing,)) = translator().translate(["dog", ""], nbest=2, max_length=10)
    assert (first, nothing) == (dog, empty)
    assert second.score < first.score
    assert translator().translate([]) == []
    with pytest.raises(UserError, match="beams: "):  # nothing to search for hides no mistake
        translator().translate("", beams=0)


def test_a_text_too_long_is_refused_beside_a_blank_one() -> None:
    refused, empty = translator().translate(["dog " * 40, ""], max_length=10)
    assert (refused.refused, refused.text, empty.refused) == (True, "", False)
    assert translator().translate("dog " * 40, truncate=True, max_length=10).truncated


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "a text or a list of texts is wanted, not None"),
        (5, "a text or a list of texts is wanted, not of type int"),
        (b"dog", "a text or a list of texts is wanted, not bytes: decode them"),
        (["dog", None], "a list of texts is wanted, and number 1, counted from 0, is None"),
        ([b"dog"], "a list of texts is wanted, and number 0, counted from 0, is bytes: decode them"),
    ],
)
def test_what_is_no_text_gets_one_line(given: Any, message: str) -> None:
    with pytest.raises(UserError) as caught:
        translator().translate(given)
    assert str(caught.value) == message


def test_what_is_no_text_cannot_be_looked_into(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="a text is wanted, not of type list"):
        translator().inspect(["dog"], out=tmp_path / "page.html")  # type: ignore[arg-type]


@pytest.mark.parametrize("generation", [{}, {"beams": 4}, {"beams": 1}], ids=str)
def test_there_are_as_many_beams_as_outputs_are_wanted(generation: dict[str, int]) -> None:
    answers = translator(**generation).translate("dog sees cat", nbest=7, max_length=10)
    assert len({tuple(answer.tokens) for answer in answers}) == 7
    assert answers == translator().translate("dog sees cat", nbest=7, beams=7, max_length=10)
    with pytest.raises(UserError, match="nbest 7 needs beams 7 or more, not 6"):
        translator(**generation).translate("dog", nbest=7, beams=6)
    with pytest.raises(UserError, match="nbest: input should be greater than or equal to 1, not 0"):
        translator(**generation).translate("dog", nbest=0)
    assert len(translator(**generation).translate("dog", nbest=7, sample=True, max_length=10)) == 7


def test_a_translation_is_plain_data() -> None:
    answer = translator().translate("dog sees cat", max_length=10)
    plain = dataclasses.asdict(answer)
    assert set(plain) == {"text", "score", "tokens", "source_tokens", "truncated", "refused"}
    there: Translation = pickle.loads(pickle.dumps(answer))  # noqa: S301 - our own
    assert there == answer
    assert there.as_dict() == answer.as_dict()
    assert there.alignment == answer.alignment != []
    assert pickle.loads(pickle.dumps(there)).alignment == answer.alignment  # noqa: S301


def test_an_evaluation_tells_what_it_is_not_of(tmp_path: Path) -> None:
    pairs = [("dog", "cat"), ("", "cat"), ("dog", " "), ("", ""), ("house", "dog"), ("cat", "")]
    (tmp_path / "test.tsv").write_text("de\ten\n" + "".join(f"{de}\t{en}\n" for de, en in pairs))
    found = translator().evaluate(str(tmp_path / "test.tsv"), beams=1)
    assert (found.sentences, found.dropped) == (2, 4)
    path = tmp_path / "test.tsv"
    assert found.left_out == (
        f"3 left out as one-sided: {path}:3, {path}:4, {path}:7",
        f"1 left out as empty: {path}:5",
    )
    (tmp_path / "test.tsv").write_text("de\ten\ndog\tcat\n")
    whole = translator().evaluate(str(tmp_path / "test.tsv"), beams=1)
    assert (whole.sentences, whole.dropped, whole.left_out) == (1, 0, ())
