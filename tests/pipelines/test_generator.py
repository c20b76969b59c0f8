"""A language model in use: text that goes on, stops, and is heard piece by piece."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import decoders

import weft
from weft.config import GeneratorConfig, ModelConfig
from weft.errors import UserError
from weft.models.decoder import Decoder
from weft.pipelines.generator import Generator
from weft.pipelines.stream import Writer
from weft.text.tokenizer import Tokenizer
from weft.text.training import Kind, train_tokenizer

TEXT = "The old dog sleeps, and a cat runs to the house.\nGreen trees — how naïve!\n"
DRAWN: dict[str, Any] = {"temperature": 1.3, "seed": 5}


def tokenizer_of(kind: Kind) -> Tokenizer:
    size = 90 if kind == "bpe" else None
    return train_tokenizer([TEXT] * 3, kind=kind, size=size, exact=kind == "bpe")


def generator(kind: Kind = "bpe", *, prefix: Sequence[int] = ()) -> Generator:
    """Random weights that do not end soon."""
    tokenizer = tokenizer_of(kind)
    shape = {"width": 32, "heads": 2, "feed_forward": 64, "decoder_layers": 2, "tie": "none"}
    model = ModelConfig.model_validate(
        {"architecture": "decoder", "vocabulary": tokenizer.vocab_size, "max_length": 64, **shape}
        | {"position": "rotary", "output_bias": True}
    )
    torch.manual_seed(0)
    decoder = Decoder(model)
    with torch.no_grad():
        decoder.output.bias[:4] = -9.0
    return Generator(GeneratorConfig(model=model, prefix=tuple(prefix)), model=decoder, tokenizer=tokenizer)


def test_ids_beyond_the_tokenizers_are_never_written() -> None:
    plain = generator()
    wide = plain.config.model.model_copy(update={"vocabulary": plain.tokenizer.vocab_size + 30})
    torch.manual_seed(0)
    decoder = Decoder(wide)
    with torch.no_grad():
        decoder.output.bias[-30:] = 9.0
    it = Generator(GeneratorConfig(model=wide), model=decoder, tokenizer=plain.tokenizer)
    for options in ({}, {"beams": 3}, {"temperature": 1.0, "seed": 1}, {"contrast": 0.5}, {"lookup": True}):
        assert 3 < len(it.generate("The old", tokens=12, **options).tokens) <= 12


@pytest.mark.parametrize("kind", ["bpe", "characters", "words"])
def test_the_text_is_what_follows_the_prompt(kind: Kind) -> None:
    it = generator(kind)
    found = it.generate("The old", tokens=12, **DRAWN)
    (ids,) = it.tokenizer.encode(["The old"])
    assert len(found.tokens) == len(found.logprobs) == 12
    assert found.ended == "length"
    written = [
        next(i for i in range(it.tokenizer.vocab_size) if it.tokenizer.tokens([i]) == [t])
        for t in found.tokens
    ]
    assert it.tokenizer.decode([[*ids, *written]]) == ["The old" + found.text]
    if kind == "words":
        assert found.text.startswith(" ")
    with torch.inference_mode():
        states = it.model(torch.tensor([[*ids, *written[:-1]]]))[0, len(ids) - 1 :]
        logprobs = (it.model.logits(states) / 1.0).log_softmax(-1)
    expected = logprobs.gather(1, torch.tensor(written)[:, None])[:, 0].tolist()
    assert found.logprobs == pytest.approx(expected, abs=1e-4)


def test_a_list_keeps_its_order_and_each_is_as_alone() -> None:
    it = generator()
    prompts = ["The old dog", "a", "", "Green trees", "b", "The"]
    every = it.generate(prompts, tokens=10)
    assert [each.text for each in every] == [it.generate(prompt, tokens=10).text for prompt in prompts]
    assert len({each.text for each in every}) > 3
    assert it.generate([]) == []


def test_an_empty_prompt_begins_as_a_text_does() -> None:
    plain, prefixed = generator(), generator(prefix=[1])
    assert plain._read(["", "a"])[0] == [2]
    assert prefixed._read(["", "a"]) == [[1], [1, *prefixed.tokenizer.encode(["a"])[0]]]
    assert plain.generate(tokens=5).text != prefixed.generate(tokens=5).text
    assert len(plain.generate("", tokens=5).tokens) == 5


@pytest.mark.parametrize("kind", ["bpe", "characters", "words"])
def test_a_stop_string_ends_the_text_and_is_not_in_it(kind: Kind) -> None:
    it = generator(kind)
    whole = it.generate("The", tokens=40, **DRAWN)
    for begin, size in ((12, 5), (9, 9), (20, 2)):
        stop = whole.text[begin : begin + size]
        found = it.generate("The", tokens=40, stop=stop, **DRAWN)
        assert found.text == whole.text[: whole.text.index(stop)]
        assert found.ended == "stop"
        assert len(found.tokens) == len(found.logprobs) < 40
        assert found.tokens == whole.tokens[: len(found.tokens)]
    stops = [whole.text[30:36], whole.text[10:14], "not there"]
    found = it.generate("The", tokens=40, stop=stops, **DRAWN)
    assert found.text == whole.text[: min(whole.text.index(stop) for stop in stops[:2])]
    assert it.generate("The", tokens=40, stop="not there", **DRAWN) == whole


@pytest.mark.parametrize("options", [{"beams": 3}, {"beams": 3, "nbest": 2}, {"nbest": 3, **DRAWN}], ids=str)
def test_stop_strings_end_beams_and_samples(options: dict[str, Any]) -> None:
    it = generator("characters")
    found = it.generate("The old", tokens=20, stop=["e", " "], **options)
    for each in found if "nbest" in options else [found]:
        assert not {"e", " "} & set(each.text)
        assert each.ended in ("stop", "length")
    assert not isinstance(found, list) or len(found) == options["nbest"]


@pytest.mark.parametrize("kind", ["bpe", "characters", "words"])
@pytest.mark.parametrize("stops", [(), (" dog", "e", "sleeps")], ids=str)
def test_what_is_heard_joins_to_the_text(kind: Kind, stops: tuple[str, ...]) -> None:
    it = generator(kind)
    for seed in range(2):
        heard: list[str] = []
        options = {"tokens": 24, "stop": stops, "temperature": 1.3, "seed": seed}
        found = it.generate("The old", stream=heard.append, **options)
        assert "".join(heard) == found.text
        assert found == it.generate("The old", **options)
        assert all(heard)
    assert len(heard) > 3 or stops


def heard_of(tokenizer: Tokenizer, text: str, *, stops: Sequence[str] = ()) -> list[str]:
    """What is told token by token where a model writes this text."""
    told: list[str] = []
    writer = Writer(lambda tokens: tokenizer.decode([tokens])[0], told.append, prompt=[], stops=stops)
    for token in tokenizer.encode([text])[0]:
        writer.add(token)
    writer.finish()
    return told


def test_whole_characters_alone_are_heard() -> None:
    tokenizer = train_tokenizer(["abc " * 9], size=2048, exact=True)
    text = "ab — naïve 日本語 ❤️👩‍🚀!"
    assert len(tokenizer.encode([text])[0]) > len(text)
    heard = heard_of(tokenizer, text)
    assert "".join(heard) == text
    assert "\ufffd" not in "".join(heard)
    assert len(heard) > 10


def test_characters_of_several_bytes_are_heard_where_a_run_of_bytes_is_read_as_a_whole() -> None:
    text = "日本語字 ok ❤ naïve"
    pieces = [f"<0x{byte:02X}>" if byte > 127 else chr(byte) for byte in text.encode()]
    decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    told: list[str] = []
    writer = Writer(
        lambda ids: decoder.decode([pieces[each] for each in ids]), told.append, prompt=[], stops=[]
    )
    for number in range(len(pieces)):
        writer.add(number)
    writer.finish()
    assert "".join(told) == text and len(told) == len(text)


def test_no_part_of_a_stop_string_is_heard() -> None:
    tokenizer = train_tokenizer([TEXT], kind="characters")
    assert "".join(heard_of(tokenizer, "The dog sleeps", stops=["dog s", "zzz"])) == "The "
    assert "".join(heard_of(tokenizer, "The dog runs", stops=["dog s"])) == "The dog runs"


def test_a_stop_string_of_many_bytes_is_found_across_its_pieces() -> None:
    tokenizer = train_tokenizer(["abc " * 9], size=2048, exact=True)
    it = generator()
    it.tokenizer = tokenizer
    stop = "👩‍🚀" * 4
    (ids,) = tokenizer.encode(["ab " + stop])
    [rule] = it._ends([stop])

    def ends(tokens: list[int]) -> bool:
        scores = rule(torch.tensor([[tokenizer.eos_id, *tokens]]), torch.zeros(1, tokenizer.vocab_size))
        return bool(scores.isneginf().any())

    assert ends(ids)
    assert not ends(ids[:-1])


def test_options_choose_the_search() -> None:
    it = generator()
    prompt = "The old"
    greedy = it.generate(prompt, tokens=10)
    assert it.generate(prompt, tokens=10) == greedy
    assert it.generate(prompt, tokens=10, beams=4).text != greedy.text
    drawn = it.generate(prompt, tokens=10, seed=1)
    assert drawn.text != greedy.text
    assert it.generate(prompt, tokens=10, seed=1) == drawn
    assert it.generate(prompt, tokens=10, seed=2).text != drawn.text
    assert it.generate(prompt, tokens=10, top_k=1).text == greedy.text
    several = it.generate([prompt, "a"], tokens=10, seed=1, nbest=3)
    assert [len(each) for each in several] == [3, 3]
    assert drawn.text in [each.text for each in several[0]]


def test_wrong_calls() -> None:
    it = generator()
    with pytest.raises(
        UserError, match="tokens and 60 to write are more than the 64 the model takes: write at most"
    ):
        it.generate("The old dog sleeps, and a cat", tokens=60)
    with pytest.raises(UserError, match="stop: an empty text"):
        it.generate("a", stop=["b", ""])
    for options in ({"beams": 2}, {"nbest": 2, "seed": 1}):
        with pytest.raises(UserError, match="stream: one prompt"):
            it.generate("a", stream=print, **options)
    for prompts in (["a", "b"], []):
        with pytest.raises(UserError, match="stream: one prompt"):
            it.generate(prompts, stream=print)
    with pytest.raises(UserError, match="temprature"):
        it.generate("a", temprature=1.0)
    with pytest.raises(UserError, match="from 1 to 1,000,000 can be written"):
        it.generate("a", tokens=0)
    with pytest.raises(UserError, match="beams and seed: a text is either searched for or drawn"):
        it.generate("a", beams=2, seed=1)
    with pytest.raises(UserError, match="not valid Unicode"):
        it.generate("a\udcff")


def test_a_text_is_measured_as_it_was_validated_in_training(tmp_path: Path) -> None:
    """By rows, as a run validates; and with a stride, token by token with more context."""
    text = "".join(f"{number} is {'odd' if number % 2 else 'even'}\n" for number in range(400))
    held = text[: text.index("\n", 890) + 1]
    (tmp_path / "train.txt").write_text(text)
    (tmp_path / "valid.txt").write_text(held)
    result = weft.train(
        "language-model",
        train=tmp_path / "train.txt",
        valid=tmp_path / "valid.txt",
        out=tmp_path / "run",
        tokenizer="characters",
        steps=5,
        overrides={"language.length": 30, "model.width": 32, "model.decoder_layers": 1, "model.heads": 2},
    )
    generator = weft.load(tmp_path / "run", precision="float32")
    found = generator.evaluate(tmp_path / "valid.txt")
    assert found.tokens == len(held)  # and the end token, less the first
    assert found.bytes == len(held)
    assert result.loss == pytest.approx(found.loss, rel=0.02)  # which leaves out what is no whole row
    assert found.bits_per_byte == pytest.approx(found.loss / math.log(2) * found.tokens / found.bytes)
    assert math.log(found.word_perplexity) * found.words == pytest.approx(found.loss * found.tokens)
    assert found.words == len(held.split()) + held.count("\n")
    slid = generator.evaluate(tmp_path / "valid.txt", stride=10)
    assert slid.tokens == found.tokens
    assert slid.context == 20
    assert slid.loss != found.loss
    with pytest.raises(UserError, match="stride 31: from 1 to 30"):
        generator.evaluate(tmp_path / "valid.txt", stride=31)
