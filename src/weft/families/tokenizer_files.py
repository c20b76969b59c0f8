"""A tokenizer's files between weft's folders and Hugging Face's."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, processors

from weft.config import ModelConfig, SpecialTokens
from weft.errors import UserError
from weft.families.huggingface import encode_json, read_json

__all__ = ["SENTENCEPIECE_FILES", "read_tokenizer", "write_tokenizer"]

SENTENCEPIECE_FILES = ("source.spm", "target.spm", "vocab.json")
_FAST = "tokenizer.json"
_SETTINGS = "tokenizer_config.json"

Languages = tuple[str | None, str | None]


def read_tokenizer(folder: Path, special: SpecialTokens) -> tuple[dict[str, bytes], Languages]:
    """The tokenizer's files in a folder, by name, and the languages of source and target where they are told.

    A `tokenizer.json` comes without its post-processor, since weft adds the end token itself; one that adds
    anything else raises UserError. A folder without a tokenizer gives no files.
    """
    settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    languages = (settings.get("source_lang"), settings.get("target_lang"))
    if all((folder / name).is_file() for name in SENTENCEPIECE_FILES):
        names = [*SENTENCEPIECE_FILES, *([_SETTINGS] if settings else [])]
        return {name: (folder / name).read_bytes() for name in names}, languages
    if (folder / _FAST).is_file():
        content = read_json(folder / _FAST)
        _refuse_other_additions(content, special, folder / _FAST)
        return {_FAST: encode_json({**content, "post_processor": None})}, languages
    return {}, languages


def write_tokenizer(
    files: Mapping[str, bytes], config: ModelConfig, *, languages: Languages
) -> dict[str, bytes]:
    """What Hugging Face reads: SentencePiece's files, or `tokenizer.json` made to put an end to each text."""
    settings = {
        "model_max_length": config.max_length,
        "source_lang": languages[0],
        "target_lang": languages[1],
    }
    settings = {name: value for name, value in settings.items() if value is not None}
    if set(SENTENCEPIECE_FILES) <= set(files):
        given = json.loads(files[_SETTINGS]) if _SETTINGS in files else {}
        marian = {"tokenizer_class": "MarianTokenizer", "separate_vocabs": False}
        kept = {name: files[name] for name in SENTENCEPIECE_FILES}
        return {**kept, _SETTINGS: encode_json({**settings, **marian, **given})}
    if _FAST not in files:
        return {}
    backend = Tokenizer.from_str(files[_FAST].decode())
    end = backend.id_to_token(config.special.end)
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A $B {end}", special_tokens=[(end, config.special.end)]
    )
    names = {
        "pad_token": config.special.pad,
        "bos_token": config.special.start,
        "eos_token": config.special.end,
    }
    named = {name: backend.id_to_token(number) for name, number in names.items()}
    fast = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "unk_token": "<unk>",
    }
    return {
        _FAST: backend.to_str(pretty=True).encode(),
        _SETTINGS: encode_json({**settings, **fast, **named}),
    }


def _refuse_other_additions(content: Mapping[str, Any], special: SpecialTokens, path: Path) -> None:
    """Raise UserError where a tokenizer puts anything about a text but the end token behind it."""
    try:
        backend = Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the library raises nothing more precise
        raise UserError(f"{path}: not a tokenizer that the tokenizers library can read: {error}") from error
    plain, ended = (backend.encode("a", add_special_tokens=special).ids for special in (False, True))
    if ended not in (plain, [*plain, special.end]):
        raise UserError(
            f"{path}: puts {ended} for {plain}, where weft can only end a text with {special.end}"
        )
