"""Marian's tokenizers: SentencePiece (Kudo and Richardson 2018) on each side, one vocabulary for both."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from weft.errors import UserError
from weft.families.huggingface import read_json
from weft.families.tokenizer_files import SENTENCEPIECE_FILES

__all__ = ["MarianTokenizer"]

_SETTINGS = "tokenizer_config.json"
_LANGUAGE = re.compile(r">>.*?<<", re.DOTALL)


class MarianTokenizer:
    """Text to ids and back, as Hugging Face's MarianTokenizer has them where text spells no special token.

    Text such as `</s>` is text here, where Hugging Face's would end the sentence at it; a language code in
    front, as in `>>fra<< Hello.`, is one token in both. Sources and targets are split by a model each: see
    `encode_targets`.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)
        self._ids = _vocabulary(files["vocab.json"])
        self._pieces = {number: piece for piece, number in self._ids.items()}
        self._source = _load_model(files["source.spm"], name="source.spm")
        self._target = _load_model(files["target.spm"], name="target.spm")
        self.pad_id = self._ids["<pad>"]
        self.bos_id = self.pad_id
        """What a decoder starts from: Marian has no start token, and takes the padding's."""
        self.eos_id = self._ids["</s>"]
        self.unk_id = self._ids["<unk>"]

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self._pieces) + 1

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides how text becomes ids."""
        parts = (hashlib.sha256(self._files[name]).digest() for name in SENTENCEPIECE_FILES)
        return hashlib.sha256(b"".join(parts)).hexdigest()

    @property
    def language_codes(self) -> list[str]:
        """The codes of the languages to translate into, such as `>>fra<<`; none in a model for one."""
        return [piece for piece in self._ids if _LANGUAGE.fullmatch(piece)]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each source text, without the end token."""
        return [[self._ids.get(piece, self.unk_id) for piece in self._split(text)] for text in texts]

    def encode_targets(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each target text, without the end token."""
        split = self._target.encode(list(texts), out_type=str)
        return [[self._ids.get(piece, self.unk_id) for piece in pieces] for pieces in split]

    def decode(self, sequences: Sequence[Sequence[int]]) -> list[str]:
        """The text of each sequence of target ids; special tokens are left out."""
        special = {self.pad_id, self.eos_id, self.unk_id}
        texts = [
            self._target.decode_pieces(self.tokens([i for i in ids if i not in special])) for ids in sequences
        ]
        return [text.replace("▁", " ").strip() for text in texts]

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Each id as a reader may see it: a leading space as `▁`."""
        unknown = [number for number in ids if number not in self._pieces]
        if unknown:
            raise ValueError(f"id {unknown[0]} is outside of the vocabulary of {self.vocab_size}")
        return [self._pieces[number] for number in ids]

    def offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The ids of a source text and, for each, where its letters begin and end, white space left out."""
        code = self._code(text)
        found = [(code, 0, len(code))] if code else []
        for piece in self._source.encode(text[len(code) :], out_type="immutable_proto").pieces:
            begin, end = piece.begin + len(code), piece.end + len(code)
            begin += len(text[begin:end]) - len(text[begin:end].lstrip())
            found.append((piece.piece, begin, max(begin, begin + len(text[begin:end].rstrip()))))
        ids = [self._ids.get(piece, self.unk_id) for piece, _, _ in found]
        return ids, [(begin, end) for _, begin, end in found]

    def token_id(self, token: str) -> int | None:
        """The id of a piece exactly as the vocabulary has it, a special token for instance."""
        return self._ids.get(token)

    def save(self, folder: Path) -> None:
        """Write the files that it was made of."""
        for name, content in self._files.items():
            (folder / name).write_bytes(content)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder of weft's or of Hugging Face's.

        Raises UserError where a file is missing or damaged, and where SentencePiece is not installed.
        """
        missing = [name for name in SENTENCEPIECE_FILES if not (folder / name).is_file()]
        if missing:
            raise UserError(f"{folder}: no {' and no '.join(missing)} in it, which Marian's tokenizer needs")
        if (folder / _SETTINGS).is_file() and read_json(folder / _SETTINGS).get("separate_vocabs"):
            raise UserError(
                f"{folder / _SETTINGS}: separate_vocabs = true: weft has one vocabulary for both sides"
            )
        names = [*SENTENCEPIECE_FILES, _SETTINGS]
        try:
            return cls({name: (folder / name).read_bytes() for name in names if (folder / name).is_file()})
        except UserError as error:
            raise UserError(f"{folder}: {error}") from error

    def _split(self, text: str) -> list[str]:
        code = self._code(text)
        pieces: list[str] = self._source.encode(text[len(code) :], out_type=str)
        return [code, *pieces] if code else pieces

    def _code(self, text: str) -> str:
        match = _LANGUAGE.match(text)
        return match[0] if match else ""


def _vocabulary(content: bytes) -> dict[str, int]:
    try:
        ids = json.loads(content)
    except ValueError as error:
        raise UserError(f"vocab.json: not readable as JSON ({error})") from error
    if not isinstance(ids, dict) or not all(type(number) is int and number >= 0 for number in ids.values()):
        raise UserError("vocab.json: not a map of pieces to ids")
    if missing := [token for token in ("<pad>", "</s>", "<unk>") if token not in ids]:
        raise UserError(f"vocab.json: no {', '.join(missing)} in it")
    return ids


def _load_model(content: bytes, *, name: str) -> Any:
    try:
        from sentencepiece import SentencePieceProcessor
    except ImportError as error:
        raise UserError("Marian's tokenizer needs SentencePiece: pip install 'weft[marian]'") from error
    try:
        return SentencePieceProcessor(model_proto=content)
    except RuntimeError as error:
        raise UserError(f"{name}: damaged, or no SentencePiece model ({error})") from error
