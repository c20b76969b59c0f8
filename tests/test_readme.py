"""What pages of exported models say of token ids."""

from weft.config import GeneratorConfig, ModelConfig, TranslatorConfig
from weft.readme import example, frame_of, joined
from weft.text.training import train_tokenizer

SHAPE = {"vocabulary": 40, "width": 8, "heads": 2, "feed_forward": 8, "decoder_layers": 1}


def test_a_translator_of_two_directions_is_told_the_language_by_its_tag() -> None:
    tokenizer = train_tokenizer(["a dog runs"], kind="words", size=40, special=["<2de>", "<2en>"])
    model = ModelConfig.model_validate(SHAPE | {"encoder_layers": 1})
    folder = TranslatorConfig(directions=(("de", "en"), ("en", "de")), tags=True, model=model)
    frame = frame_of(folder, tokenizer)
    assert frame.tags == {"de": tokenizer.token_id("<2de>"), "en": tokenizer.token_id("<2en>")}
    assert frame.describe() == (
        f"A text's first id says what language to write: {frame.tags}. After a text stands the id 2."
    )
    assert example(folder) == "Ein Hund läuft."


def test_a_language_model_ends_with_any_of_its_ends() -> None:
    tokenizer = train_tokenizer(["a dog runs"], kind="words", size=40)
    model = ModelConfig.model_validate(SHAPE | {"architecture": "decoder"})
    frame = frame_of(GeneratorConfig(model=model, prefix=(7, 8), ends=(9,)), tokenizer)
    assert frame.describe() == "Before a text stand the ids 7, 8."
    assert frame.ends == [2, 9]
    assert joined([], frame.before, "ids(text)", frame.after) == "[7, 8] + ids(text)"
