"""Marian's tokenizers: SentencePiece (Kudo and Richardson 2018) on each side, one vocabulary for both."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from weft.errors import UserError
from weft.families.sentencepiece_pairs import load_sentencepiece
from weft.families.tokenizer_files import SENTENCEPIECE_FILES

__all__ = ["MarianTokenizer"]

_LANGUAGE = re.compile(r">>.*?<<", re.DOTALL)


class MarianTokenizer:
    """Text to ids and back, as Hugging Face's MarianTokenizer has them where text spells no special token.

    Text such as `</s>` is text here, where Hugging Face's would end the sentence at it; a language code in
    front, as in `>>fra<< Hello.`, is one token in both. Sources and targets are split by a model each: see
    `encode_targets`.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._ids = _vocabulary(files["vocab.json"])
        self._pieces = {number: piece for piece, number in self._ids.items()}
        self._source = load_sentencepiece(files["source.spm"], name="source.spm")
        self._target = load_sentencepiece(files["target.spm"], name="target.spm")
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
    def pieces(self) -> list[str]:
        """Each id's piece, as the vocabulary has it."""
        return [self._pieces.get(number, "") for number in range(self.vocab_size)]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each source text, without the end token."""
        codes = [match[0] if (match := _LANGUAGE.match(text)) else "" for text in texts]
        rests = [text.removeprefix(code) for text, code in zip(texts, codes, strict=True)]
        return [
            self._numbers([code, *pieces] if code else pieces)
            for code, pieces in zip(codes, _split(self._source, rests), strict=True)
        ]

    def encode_targets(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each target text, without the end token."""
        return [self._numbers(pieces) for pieces in _split(self._target, texts)]

    def decode(self, sequences: Sequence[Sequence[int]]) -> list[str]:
        """The text of each sequence of target ids; special tokens are left out."""
        special = {self.pad_id, self.eos_id, self.unk_id}
        kept = [
            [number for number in ids if number in self._pieces and number not in special]
            for ids in sequences
        ]
        texts = [self._target.decode_pieces(self.tokens(ids)) for ids in kept]
        return [text.replace("▁", " ").strip() for text in texts]

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Each id as a reader may see it: a leading space as `▁`, an id without a piece as `<unk>`."""
        return [self._pieces.get(number, "<unk>") for number in ids]

    def token_id(self, token: str) -> int | None:
        """The id of a piece exactly as the vocabulary has it, a special token for instance."""
        return self._ids.get(token)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a folder of weft's or of Hugging Face's.

        Raises UserError where a file is missing or damaged, and where SentencePiece is not installed.
        """
        missing = [name for name in SENTENCEPIECE_FILES if not (folder / name).is_file()]
        if missing:
            raise UserError(f"{folder}: no {' and no '.join(missing)} in it, which Marian's tokenizer needs")
        try:
            return cls({name: (folder / name).read_bytes() for name in SENTENCEPIECE_FILES})
        except UserError as error:
            raise UserError(f"{folder}: {error}") from error

    def _numbers(self, pieces: Sequence[str]) -> list[int]:
        return [self._ids.get(piece, self.unk_id) for piece in pieces]


def _split(model: Any, texts: Sequence[str]) -> list[list[str]]:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:  # half of a surrogate pair: bytes of a command line, say
            raise UserError(
                f"{text!r} is not valid Unicode at character {error.start}: write it in UTF-8"
            ) from error
    pieces: list[list[str]] = model.encode(list(texts), out_type=str)
    return pieces


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
