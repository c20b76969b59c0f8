"""A decoder's tokenizer between weft's folders and Hugging Face's: one file, or pairs of bytes that it is made from."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from weft.config import ModelConfig, SpecialTokens
from weft.errors import UserError
from weft.families.huggingface import encode_json, read_json, write_tokenizer_json
from weft.families.sentencepiece_pairs import read_pairs

__all__ = ["DECODER_FILES", "NamedBackend", "Read", "check_size", "read_tokenizer", "write_tokenizer"]

_FAST, _SETTINGS, _ADDED, _SPECIAL = (
    "tokenizer.json",
    "tokenizer_config.json",
    "added_tokens.json",
    "special_tokens_map.json",
)
_PIECES, _MERGES, _SENTENCEPIECE = "vocab.json", "merges.txt", "tokenizer.model"
DECODER_FILES = (_FAST, f"{_PIECES} and {_MERGES}", _SENTENCEPIECE)
"""Where a tokenizer may be read from."""

_LLAMA = {"bos_token": "<s>", "eos_token": "</s>"}  # what its folders may leave unsaid
_END_OF_TEXT = "<|endoftext|>"  # GPT-2's one special token
_UNKNOWN = "<unk>"


class Read(NamedTuple):
    """A folder's tokenizer: its files by name, the ids that it puts before a text, and those of its special tokens
    (`bos_token`, `eos_token` and `pad_token`, where it has them)."""

    files: dict[str, bytes]
    prefix: tuple[int, ...]
    special: dict[str, int]


class NamedBackend:
    """A tokenizer of the `tokenizers` library in which special tokens are found by weft's names for them.

    GPT-2 has one token for start and end, and Llama 3 calls both otherwise; models without padding are filled up with
    whatever their configuration says.
    """

    def __init__(self, backend: Tokenizer, special: SpecialTokens) -> None:
        unknown = backend.token_to_id(_UNKNOWN)
        self._backend = backend
        self._ids: Mapping[str, int | None] = {
            "<pad>": special.pad,
            "<s>": special.start,
            "</s>": special.end,
            _UNKNOWN: special.end if unknown is None else unknown,  # bytes spell everything
            "[CLS]": None,  # by which BERT's are told
        }

    def token_to_id(self, token: str) -> int | None:
        """The id of a piece, or of a special token by weft's name."""
        return self._ids[token] if token in self._ids else self._backend.token_to_id(token)

    @property
    def encode_special_tokens(self) -> bool:
        """Whether special tokens in a text are read as any text."""
        return self._backend.encode_special_tokens

    @encode_special_tokens.setter
    def encode_special_tokens(self, value: bool) -> None:
        self._backend.encode_special_tokens = value

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def read_tokenizer(folder: Path, *, byte_pairs: bool) -> Read | None:
    """The tokenizer of a folder as a tokenizer.json; None where there is none.

    `byte_pairs`: a vocabulary and merges alone are GPT-2's. Raises UserError for files that cannot be read, and for a
    vocabulary and merges that are not GPT-2's, with the way to convert them.
    """
    settings = read_json(folder / _SETTINGS) if (folder / _SETTINGS).is_file() else {}
    usual: Mapping[str, str] = {}
    pieces = all((folder / name).is_file() for name in (_PIECES, _MERGES))
    if (folder / _FAST).is_file():
        backend = _read_fast(folder / _FAST)
    elif pieces and byte_pairs and not _added(folder):
        backend = _byte_pairs(folder, spaced=bool(settings.get("add_prefix_space", False)))
    elif (folder / _SENTENCEPIECE).is_file():
        backend = read_pairs(folder / _SENTENCEPIECE)
        _add(backend, folder)
        settings = {"add_bos_token": True, **settings}  # goes without saying
        usual = {key: name for key, name in _LLAMA.items() if backend.token_to_id(name) is not None}
    elif pieces:
        raise UserError(
            f"{folder}: its tokenizer is {_PIECES} and {_MERGES}, where weft reads {_FAST}: {write_tokenizer_json(folder)}"
        )
    else:
        return None
    special: dict[str, int] = {}
    for key, name in {**usual, **_read_special(folder, settings)}.items():
        if (id_ := backend.token_to_id(name)) is None:
            raise UserError(f"{folder / _SETTINGS}: {key} is {name}, which the tokenizer does not have")
        special[key] = id_
    _surround(backend, settings, special)
    files = {_FAST: backend.to_str(pretty=True).encode()}
    return Read(files, _prefix(backend, folder), special)


def write_tokenizer(
    files: Mapping[str, bytes], model: ModelConfig, *, prefix: Sequence[int]
) -> dict[str, bytes]:
    """The tokenizer.json, with what stands before a text, and what Hugging Face wants to know beside it."""
    if _FAST not in files:
        return {}
    backend = Tokenizer.from_str(files[_FAST].decode())
    if backend.post_processor is None:
        backend.post_processor = _template(backend, before=prefix)
    special = model.special
    ids = {"bos_token": special.start, "eos_token": special.end}
    if special.pad != special.end:
        ids["pad_token"] = special.pad
    named = {key: name for key, number in ids.items() if (name := backend.id_to_token(number)) is not None}
    if backend.token_to_id(_UNKNOWN) is not None:
        named["unk_token"] = _UNKNOWN
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.max_length,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    return {_FAST: backend.to_str(pretty=True).encode(), _SETTINGS: encode_json({**settings, **named})}


def check_size(read: Read, model: ModelConfig, folder: Path) -> None:
    """Raise UserError where a tokenizer has more ids than the model."""
    ids = Tokenizer.from_str(read.files[_FAST].decode()).get_vocab().values()
    if (size := max(ids, default=-1) + 1) > model.vocabulary:
        raise UserError(
            f"{folder}: its tokenizer has {size} ids, but the model's vocab_size is {model.vocabulary}"
        )


def _read_fast(path: Path) -> Tokenizer:
    try:
        backend = Tokenizer.from_str(json.dumps(read_json(path)))
    except UserError:
        raise
    except Exception as error:  # the library raises nothing more precise
        raise UserError(f"{path}: not a tokenizer that the tokenizers library can read: {error}") from error
    # What a text's batch is filled up with and where it is cut is not the tokenizer's to say.
    backend.no_padding()
    backend.no_truncation()
    return backend


def _added(folder: Path) -> dict[str, Any]:
    """The ids of special tokens that a folder has beyond its tokenizer's."""
    return read_json(folder / _ADDED) if (folder / _ADDED).is_file() else {}


def _add(backend: Tokenizer, folder: Path) -> None:
    added = _added(folder)
    if wrong := [name for name, number in added.items() if type(number) is not int]:
        raise UserError(f"{folder / _ADDED}: {wrong[0]} is {added[wrong[0]]!r}, which is no id")
    for name, number in sorted(added.items(), key=lambda each: each[1]):
        backend.add_special_tokens([name])
        if (own := backend.token_to_id(name)) != number:
            raise UserError(f"{folder / _ADDED}: {name} cannot be {number}: its id is {own}")


def _byte_pairs(folder: Path, *, spaced: bool) -> Tokenizer:
    """GPT-2's: pairs of bytes merged (Radford et al. 2019, section 2.2)."""
    vocabulary = read_json(folder / _PIECES)
    try:
        lines = (folder / _MERGES).read_bytes().decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{folder / _MERGES}: not readable as UTF-8 ({error})") from error
    pairs = [line.partition(" ") for line in lines if line and not line.startswith("#version")]
    try:
        backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[(one, other) for one, _, other in pairs]))
    except Exception as error:  # the library raises nothing more precise
        raise UserError(f"{folder / _MERGES}: not pairs of pieces in {_PIECES}: {error}") from error
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced)
    backend.decoder = decoders.ByteLevel()
    if _END_OF_TEXT in vocabulary:
        backend.add_special_tokens([_END_OF_TEXT])
    return backend


def _read_special(folder: Path, settings: Mapping[str, Any]) -> dict[str, str]:
    """What the special tokens are called; of two files the tokenizer's own settings come first."""
    older = read_json(folder / _SPECIAL) if (folder / _SPECIAL).is_file() else {}
    named = {}
    for key in ("bos_token", "eos_token", "pad_token"):
        told = settings.get(key) or older.get(key)
        name = told.get("content") if isinstance(told, dict) else told
        if isinstance(name, str):
            named[key] = name
    return named


def _surround(backend: Tokenizer, settings: Mapping[str, Any], ids: Mapping[str, int]) -> None:
    """Let the tokenizer itself say what stands around a text; the settings count where its own file says nothing of it."""
    if backend.post_processor is not None:
        return
    before, after = (
        [ids[f"{side}_token"]] if settings.get(f"add_{side}_token") and f"{side}_token" in ids else []
        for side in ("bos", "eos")
    )
    backend.post_processor = _template(backend, before=before, after=after)


def _template(
    backend: Tokenizer, *, before: Sequence[int], after: Sequence[int] = ()
) -> processors.TemplateProcessing:
    names = {number: str(backend.id_to_token(number)) for number in (*before, *after)}
    first, last = [[names[number] for number in side] for side in (before, after)]
    # Lists of pieces, not strings: some names hold spaces.
    single, second = (
        [f"{piece}:{segment}" for piece in (*first, text, *last)] for segment, text in enumerate(("$A", "$B"))
    )
    special = [(name, number) for number, name in names.items()]
    return processors.TemplateProcessing(single=single, pair=single + second, special_tokens=special)


def _prefix(backend: Tokenizer, folder: Path) -> tuple[int, ...]:
    plain = backend.encode("a", add_special_tokens=False).ids
    whole = backend.encode("a").ids
    places = [at for at in range(len(whole)) if whole[at : at + len(plain)] == plain]
    if not places:
        raise UserError(
            f"{folder / _FAST}: puts {whole} for {plain}, which is no text with something around it"
        )
    return tuple(whole[: places[0]])
