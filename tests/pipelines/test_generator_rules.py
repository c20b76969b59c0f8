"""What a text has to be, and what its words are worth: grammars, choices, biases."""

import json
import re
from typing import Any

import pytest
from tests.pipelines.test_generator import generator

from weft.errors import UserError
from weft.pipelines.generator import Generator
from weft.pipelines.grammar import Grammar
from weft.text.training import Kind, train_tokenizer

pytest.importorskip("llguidance")

SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"beams": 3},
    "sampled": {"seed": 3, "temperature": 1.5},
}
SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0, "maximum": 999}, "dog": {"enum": ["old", "big"]}},
    "required": ["age", "dog"],
    "additionalProperties": False,
}
SPELLED = ['{"age": 0123456789, "dog": "old"} {"dog": "big"}\n'] * 3


def spelling(kind: Kind = "bpe") -> Generator:
    """Random weights, and a tokenizer that can write the schema."""
    it = generator(kind)
    tokenizer = train_tokenizer(SPELLED, kind=kind, size=120 if kind == "bpe" else None, exact=True)
    it.tokenizer = tokenizer
    assert tokenizer.vocab_size <= it.config.model.vocabulary
    return it


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("kind", ["bpe", "characters"])
def test_what_is_written_meets_the_schema(kind: Kind, search: dict[str, Any]) -> None:
    it = spelling(kind)
    prompts = ["", "dog", '{"age"'] * 2
    for prompt, found in zip(prompts, it.generate(prompts, tokens=50, schema=SCHEMA, **search), strict=True):
        assert found.ended == "end"
        value = json.loads(found.text)
        assert set(value) == {"age", "dog"}
        assert 0 <= value["age"] <= 999 and value["dog"] in ("old", "big")
        alone = it.generate(prompt, tokens=50, schema=json.dumps(SCHEMA), **search)
        if "seed" not in search:
            assert alone.text == found.text


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_a_regular_expression_is_met(search: dict[str, Any]) -> None:
    for found in spelling().generate(["", "old"], tokens=40, regex=r"[0-9]{2,4}(, [a-z]+){2}", **search):
        assert found.ended == "length" or re.fullmatch(r"[0-9]{2,4}(, [a-z]+){2}", found.text)


def test_one_of_the_choices_is_written_and_by_its_probability() -> None:
    it, choices = spelling(), ["big dog", "old dog", "big"]
    found = it.generate("age", tokens=20, choices=choices, beams=20, nbest=3)
    assert {each.text for each in found} <= set(choices)  # which may be spelled in more ways than one
    drawn = {it.generate("age", tokens=20, choices=choices, seed=seed).text for seed in range(40)}
    assert drawn <= set(choices) and len(drawn) > 1


def test_the_text_streams_and_stops_as_without_a_grammar() -> None:
    it, told = spelling(), list[str]()
    found = it.generate("", tokens=50, schema=SCHEMA, stream=told.append)
    assert "".join(told) == found.text
    assert it.generate("", tokens=50, schema=SCHEMA, stop=":").text == found.text.partition(":")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regex": "[a"}, "the grammar cannot be read"),
        ({"schema": "{"}, "schema: not a JSON schema"),
        ({"schema": {"type": "nonsense"}}, "the grammar cannot be read"),
        ({"regex": "a", "choices": ["a"]}, "regex and choices: a text is held to one of them"),
        ({"regex": "ÿ"}, "no text meets the grammar"),
    ],
)
def test_a_grammar_that_cannot_be_met(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        spelling("characters").generate("", tokens=5, **options)


@pytest.mark.parametrize("tokens", [0, 10**9])
def test_so_many_tokens_are_not_written(tokens: int) -> None:
    with pytest.raises(UserError, match="from 1 to 1,000,000 can be written"):
        generator().generate("The", tokens=tokens)


def test_an_end_that_stands_for_all_else_may_still_be_written() -> None:
    """As GPT-2's does: what begins, fills up and is unknown is the end token there, too."""
    it = spelling()
    tokenizer = it.tokenizer
    vars(tokenizer).update(pad_id=tokenizer.eos_id, bos_id=tokenizer.eos_id, unk_id=tokenizer.eos_id)
    found = it.generate("dog", tokens=30, choices=["old", "big"])
    assert (found.text in ("old", "big"), found.ended) == (True, "end")


@pytest.mark.parametrize("weight", [1e39, float("nan"), -1e5])
def test_no_word_is_worth_more_than_all(weight: float) -> None:
    with pytest.raises(UserError, match='of "The": from -10,000 to 10,000'):
        generator("words").generate("The", tokens=3, bias={"The": weight})


def test_what_is_said_goes_before_what_the_model_wants() -> None:
    it, told = generator(), list[str]()
    wanted = {"beams": 3, "max_length": 3, "nbest": 2}
    it.config = it.config.model_copy(update={"generation": wanted})
    assert len(it.generate("The").tokens) == 3
    found = it.generate("The", tokens=9, stream=told.append)
    assert len(found.tokens) == 9
    assert told == [found.text]  # with beams, at once
    assert len(it.generate("The", nbest=1)) == 1


def test_words_spell_no_text_by_themselves() -> None:
    with pytest.raises(UserError, match="do not spell a text by themselves"):
        Grammar.make(generator("words").tokenizer, regex="a")


@pytest.mark.parametrize("search", [{}, {"beams": 3}], ids=["greedy", "beams"])
def test_a_bias_makes_a_word_come_or_stay_away(search: dict[str, Any]) -> None:
    it = generator("words")
    plain = it.generate("The", tokens=20, **search).text
    word = plain.split()[0]
    assert word not in it.generate("The", tokens=20, bias={word: -50.0}, **search).text.split()
    assert it.generate("The", tokens=20, bias={"Green trees": 50.0, "Green": 5.0}, **search).text != plain
    favoured = it.generate("The", tokens=20, bias={"Green": 50.0}, **search).text
    assert favoured.split() == ["Green"] * 20
    assert it.generate("The", tokens=20, bias={word: 0.0}, **search).text == plain
