"""An encoder's tokenizer between weft's folders and Hugging Face's: one file, or a vocabulary that it is made from."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from weft.config import ModelConfig, SpecialTokens
from weft.errors import UserError
from weft.families.huggingface import encode_json, read_json

__all__ = ["READER_FILES", "read_tokenizer", "write_tokenizer"]

_FAST, _SETTINGS, _ADDED = "tokenizer.json", "tokenizer_config.json", "added_tokens.json"
_WORDS, _PIECES, _MERGES = "vocab.txt", "vocab.json", "merges.txt"
READER_FILES = (_FAST, _WORDS, f"{_PIECES} and {_MERGES}")
"""Where a tokenizer may be read from."""


class _Names(NamedTuple):
    pad: str
    start: str
    end: str
    unknown: str
    mask: str


_BERT = _Names("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")  # Devlin et al. 2019
_ROBERTA = _Names("<pad>", "<s>", "</s>", "<unk>", "<mask>")  # Liu et al. 2019

# What a folder may say of BERT's normaliser; what it does not say is as Devlin et al.'s code has it.
_NORMALISER = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}


def read_tokenizer(folder: Path, model: ModelConfig) -> tuple[dict[str, bytes], SpecialTokens]:
    """The tokenizer of a folder as a tokenizer.json, and the ids of its special tokens.

    A folder without a tokenizer gives no files, and the ids that the model has. Raises UserError for files that cannot be
    read, and for a tokenizer that does not belong to the model.
    """
    backend = _read_backend(folder)
    if backend is None:
        return {}, model.special
    special = _read_special(backend, folder)
    if (size := max(backend.get_vocab().values(), default=-1) + 1) > model.vocabulary:
        raise UserError(
            f"{folder}: its tokenizer has {size} ids, but the model's vocab_size is {model.vocabulary}"
        )
    if special.pad != model.special.pad:
        raise UserError(
            f"{folder}: its tokenizer fills up with {special.pad}, but the model's pad_token_id is {model.special.pad}"
        )
    return {_FAST: backend.to_str(pretty=True).encode()}, special


def write_tokenizer(files: Mapping[str, bytes], model: ModelConfig, *, length: int) -> dict[str, bytes]:
    """The tokenizer.json, with what stands around a text, and what Hugging Face wants to know beside it.

    `length` is the most tokens that are read at once.
    """
    if _FAST not in files:
        return {}
    backend = Tokenizer.from_str(files[_FAST].decode())
    names = _names(backend)
    if backend.post_processor is None:
        start, end = names.start, names.end
        backend.post_processor = processors.TemplateProcessing(
            single=f"{start} $A {end}",
            pair=f"{start} $A {end} $B:1 {end}:1",
            special_tokens=[(start, model.special.start), (end, model.special.end)],
        )
    named = {
        "pad_token": names.pad,
        "cls_token": names.start,
        "bos_token": names.start,
        "sep_token": names.end,
        "eos_token": names.end,
        "unk_token": names.unknown,
        "mask_token": names.mask,
    }
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    if model.segments < 2:  # a second text's segment has no embedding
        inputs.remove("token_type_ids")
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": length,
        "model_input_names": inputs,
    }
    known = {key: name for key, name in named.items() if backend.token_to_id(name) is not None}
    return {_FAST: backend.to_str(pretty=True).encode(), _SETTINGS: encode_json({**settings, **known})}


def _read_backend(folder: Path) -> Tokenizer | None:
    settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    if (folder / _FAST).is_file():
        return _read_fast(read_json(folder / _FAST), settings, folder / _FAST)
    words, pieces = (folder / _WORDS).is_file(), all((folder / name).is_file() for name in (_PIECES, _MERGES))
    if not words and not pieces:
        return None
    if (folder / _ADDED).is_file() and read_json(folder / _ADDED):
        raise UserError(
            f"{folder / _ADDED}: adds to a vocabulary, which weft reads from {_FAST} alone: write that with transformers, "
            f"AutoTokenizer.from_pretrained({str(folder)!r}).save_pretrained({str(folder)!r})"
        )
    return _word_pieces(folder / _WORDS, settings) if words else _byte_pairs(folder, settings)


def _read_fast(content: dict[str, Any], settings: Mapping[str, Any], path: Path) -> Tokenizer:
    """The tokenizer in a file, as the settings beside it change it."""
    normaliser = content.get("normalizer")
    if isinstance(normaliser, dict) and normaliser.get("type") == "BertNormalizer":
        normaliser |= _told(settings)
    try:
        backend = Tokenizer.from_str(json.dumps(content))
    except Exception as error:  # the library raises nothing more precise
        raise UserError(f"{path}: not a tokenizer that the tokenizers library can read: {error}") from error
    # What a text's batch is filled up with and where it is cut is not the tokenizer's to say.
    backend.no_padding()
    backend.no_truncation()
    return backend


def _told(settings: Mapping[str, Any]) -> dict[str, bool]:
    """What the settings say of BERT's normaliser."""
    return {ours: value for key, ours in _NORMALISER.items() if isinstance(value := settings.get(key), bool)}


def _word_pieces(path: Path, settings: Mapping[str, Any]) -> Tokenizer:
    """BERT's: words and signs apart, then the longest known piece each (Wu et al. 2016)."""
    # Not splitlines: some vocabularies hold U+2028, which is no end of a line to others.
    lines = _read_text(path).removesuffix("\n").split("\n")
    vocabulary = {word.rstrip("\r"): number for number, word in enumerate(lines)}
    _refuse_without(vocabulary, _BERT, path)
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token=_BERT.unknown))
    backend.normalizer = normalizers.BertNormalizer(**{"lowercase": True, **_told(settings)})
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    backend.add_special_tokens([name for name in _BERT if name in vocabulary])
    start, end = _BERT.start, _BERT.end
    backend.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(name, vocabulary[name]) for name in (start, end)],
    )
    return backend


def _byte_pairs(folder: Path, settings: Mapping[str, Any]) -> Tokenizer:
    """RoBERTa's: pairs of bytes merged (Radford et al. 2019), with a space before a mask that is the mask's own."""
    vocabulary = read_json(folder / _PIECES)
    _refuse_without(vocabulary, _ROBERTA, folder / _PIECES)
    lines = _read_text(folder / _MERGES).split("\n")
    pairs = [line.partition(" ") for line in lines if line and not line.startswith("#version")]
    try:
        backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[(one, other) for one, _, other in pairs]))
    except Exception as error:  # the library raises nothing more precise
        raise UserError(f"{folder / _MERGES}: not pairs of pieces in {_PIECES}: {error}") from error
    spaced = bool(settings.get("add_prefix_space", False))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(
        [AddedToken(name, lstrip=name == _ROBERTA.mask) for name in _ROBERTA if name in vocabulary]
    )
    backend.post_processor = processors.RobertaProcessing(
        (_ROBERTA.end, vocabulary[_ROBERTA.end]),
        (_ROBERTA.start, vocabulary[_ROBERTA.start]),
        add_prefix_space=spaced,
    )
    return backend


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not readable as UTF-8 ({error})") from error


def _names(backend: Tokenizer) -> _Names:
    return _BERT if backend.token_to_id(_BERT.start) is not None else _ROBERTA


def _refuse_without(vocabulary: Mapping[str, Any], names: _Names, path: Path) -> None:
    missing = [name for name in names[:4] if type(vocabulary.get(name)) is not int]
    if missing:
        raise UserError(f"{path}: lacks the special tokens {', '.join(missing)}")


def _read_special(backend: Tokenizer, folder: Path) -> SpecialTokens:
    names = _names(backend)
    _refuse_without(backend.get_vocab(), names, folder)
    ids = backend.get_vocab()
    return SpecialTokens(
        pad=ids[names.pad], start=ids[names.start], end=ids[names.end], mask=ids.get(names.mask)
    )
