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
_VECTORS = "tokenizer_vectors.json"  # weft's own, goes along
_SETTINGS = "tokenizer_config.json"

Languages = tuple[str | None, str | None]


def read_tokenizer(folder: Path, config: ModelConfig) -> tuple[dict[str, bytes], Languages]:
    """The tokenizer's files in a folder, by name, and the languages of source and target where they are told.

    A `tokenizer.json` comes without its post-processor, since weft adds the end token itself. A folder
    without a tokenizer gives no files. Raises UserError for a tokenizer that adds anything else, that has a
    vocabulary for each side, or that does not belong to the model.
    """
    settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    told = (settings.get("source_lang"), settings.get("target_lang"))
    languages = (told[0] if isinstance(told[0], str) else None, told[1] if isinstance(told[1], str) else None)
    if all((folder / name).is_file() for name in SENTENCEPIECE_FILES):
        if settings.get("separate_vocabs"):
            raise UserError(
                f"{folder / _SETTINGS}: separate_vocabs = true: weft has one vocabulary for both sides"
            )
        _refuse_other_vocabulary(read_json(folder / "vocab.json"), config, folder / "vocab.json")
        names = [*SENTENCEPIECE_FILES, *([_SETTINGS] if settings else [])]
        return {name: (folder / name).read_bytes() for name in names}, languages
    if (folder / _FAST).is_file():
        content = read_json(folder / _FAST)
        _refuse_other_additions(content, config.special, folder / _FAST)
        bare = json.dumps({**content, "post_processor": None}, ensure_ascii=False)
        vectors = {_VECTORS: (folder / _VECTORS).read_bytes()} if (folder / _VECTORS).is_file() else {}
        return {_FAST: bare.encode(), **vectors}, languages
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
    special = config.special
    backend = Tokenizer.from_str(files[_FAST].decode())
    ids = {"pad_token": special.pad, "bos_token": special.start, "eos_token": special.end}
    named = {name: backend.id_to_token(number) for name, number in ids.items()} | {"unk_token": "<unk>"}
    end = named["eos_token"]
    backend.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", pair=f"$A $B {end}", special_tokens=[(end, special.end)]
    )
    fast = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    vectors = {_VECTORS: files[_VECTORS]} if _VECTORS in files else {}
    return {
        _FAST: backend.to_str(pretty=True).encode(),
        _SETTINGS: encode_json({**settings, **fast, **named}),
        **vectors,
    }


def _refuse_other_vocabulary(ids: Mapping[str, Any], config: ModelConfig, path: Path) -> None:
    """Raise UserError where a vocabulary is larger than the model's, or ends its sentences otherwise."""
    if not all(type(number) is int and 0 <= number < config.vocabulary for number in ids.values()):
        raise UserError(
            f"{path}: not a map of pieces to ids below {config.vocabulary}, the model's vocab_size"
        )
    if ids.get("</s>") != config.special.end:
        raise UserError(
            f"{path}: </s> is {ids.get('</s>')}, but the model's eos_token_id is {config.special.end}"
        )


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
