"""Text to ids and back: one face for every kind of tokenizer, on top of the `tokenizers` library."""

import hashlib
import json
import re
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple, Self

import tokenizers

from weft.errors import UserError

__all__ = ["MASKS", "SPECIAL_TOKENS", "Layout", "Spans", "Tokenizer", "special_ids"]

SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", "<unk>")
"""The first ids of every tokenizer that weft trains, in this order."""

_BERT_TOKENS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")
"""The same as BERT calls them (Devlin et al. 2019)."""

_MASKS = ("<mask>", "[MASK]")

MASKS = re.compile("|".join(map(re.escape, _MASKS)))
"""A mask as one may write it, whatever the tokenizer calls it."""

_STAND_INS = "QXZ"  # letters that few pieces hold together with their neighbours

_FILE = "tokenizer.json"
_VECTORS_FILE = "tokenizer_vectors.json"

_PROBES = (
    "A dog runs through the snow.",
    "Ein Hund läuft durch den Schnee, nicht wahr?",
    "L'été dernier, où étiez-vous : à Besançon ?",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "  white   space,\tand tabs ",
    "In 1,234 cases 56.7 % cost €89 (2019-03-31).",
    "don't “quote” <s> or </s> naïve cafe\u0301 – 日本語 Ω ❤",
    "",
)
"""Texts whose ids are kept beside a tokenizer, together with some of its own pieces."""


class Spans(NamedTuple):
    """The ids of a text, and for each the characters (begin, end) that it stands for, white space left out."""

    ids: list[int]
    offsets: list[tuple[int, int]]


class Layout(NamedTuple):
    """What stands around a text that is read, and around two: before A between B after."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]


class Tokenizer:
    """Text to ids and back; what is special is never read from text and never cut or padded here.

    Raises UserError where the given tokenizer lacks one of the special tokens.
    """

    def __init__(self, backend: tokenizers.Tokenizer) -> None:
        names = _BERT_TOKENS if backend.token_to_id(_BERT_TOKENS[1]) is not None else SPECIAL_TOKENS
        missing = [token for token in names if backend.token_to_id(token) is None]
        if missing:
            raise UserError(f"the tokenizer lacks the special tokens {', '.join(missing)}")
        self._pad, self._start, self._end, self._unknown = names
        # A file from elsewhere may ask for these, and `</s>` in a text would end it.
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True
        self._backend = backend
        self._byte_level = '"ByteLevel"' in json.dumps(json.loads(backend.to_str())["decoder"])

    @cached_property
    def vocab_size(self) -> int:
        """The number of ids, the special ones included."""
        return self._backend.get_vocab_size()

    @cached_property
    def pad_id(self) -> int:
        """What fills the short rows of a batch."""
        return self._special(self._pad)

    @cached_property
    def bos_id(self) -> int:
        """What a decoder starts from, and what stands before a text that is read."""
        return self._special(self._start)

    @cached_property
    def eos_id(self) -> int:
        """What ends a sequence."""
        return self._special(self._end)

    @cached_property
    def unk_id(self) -> int:
        """What stands for anything the vocabulary cannot spell."""
        return self._special(self._unknown)

    @cached_property
    def mask_id(self) -> int | None:
        """What hides a token; None where there is no such token."""
        return next((id_ for name in _MASKS if (id_ := self.token_id(name)) is not None), None)

    @cached_property
    def layout(self) -> Layout:
        """What stands around texts that are read: what the tokenizer's own file says, else <s> A </s> B </s>.

        Raises UserError where the file says what a layout cannot.
        """
        if self._backend.post_processor is None:
            return Layout((self.bos_id,), (self.eos_id,), (self.eos_id,))
        plain = self._backend.encode("a", add_special_tokens=False).ids
        single, pair = (self._backend.encode(*texts).ids for texts in (("a",), ("a", "a")))
        places = [at for at in range(len(single)) if single[at : at + len(plain)] == plain]
        before = tuple(single[: places[0]]) if places else ()
        after = tuple(single[len(before) + len(plain) :])
        between = tuple(pair[len(before) + len(plain) : len(pair) - len(plain) - len(after)])
        if [*before, *plain, *after] != single or [*before, *plain, *between, *plain, *after] != pair:
            raise UserError(
                f"the tokenizer puts {single} for {plain}, and {pair} for two of these: weft cannot do that"
            )
        return Layout(before, between, after)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of all that decides how text becomes ids."""
        return hashlib.sha256(self.file.encode()).hexdigest()

    @property
    def file(self) -> str:
        """What `tokenizer.json` holds."""
        return self._backend.to_str()

    @property
    def pieces(self) -> list[str]:
        """Each id's piece, as the vocabulary has it."""
        return [self._backend.id_to_token(id_) or "" for id_ in range(self.vocab_size)]

    @cached_property
    def whole_pieces(self) -> list[bytes] | None:
        """The bytes of each piece where they are characters, which follow each other in a text as they are; else None."""
        decoder = json.loads(self.file)["decoder"]
        if decoder is None or decoder["type"] != "Fuse":
            return None
        return [piece.encode() for piece in self.pieces]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, in parallel, without special tokens."""
        try:
            encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
            return [encoding.ids for encoding in encodings]
        except TypeError:
            _refuse_half_characters(texts)
            raise

    def spans(self, texts: Sequence[str]) -> list[Spans]:
        """The same ids, each with its place in the text."""
        try:
            encodings = self._backend.encode_batch(list(texts), add_special_tokens=False)
        except TypeError:
            _refuse_half_characters(texts)
            raise
        return [
            Spans(encoding.ids, [_trimmed(text, *offset) for offset in encoding.offsets])
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    def masked(self, text: str) -> list[int]:
        """The ids of a text in which each <mask> or [MASK] is one token, and all others are as if a word stood there.

        Raises UserError where the tokenizer has no mask.
        """
        if self.mask_id is None:
            raise UserError("the model's tokenizer has no mask: it was not trained to fill in words")
        parts = MASKS.split(text)
        # Read by themselves, the parts would begin with spaces that they do not have: a letter stands for the mask.
        found = (self._masked_by(letter, parts, self.mask_id) for letter in _STAND_INS)
        return next((ids for ids in found if ids is not None), None) or self._masked_apart(
            parts, self.mask_id
        )

    def _masked_by(self, letter: str, parts: Sequence[str], mask: int) -> list[int] | None:
        """The ids of the parts with a mask between each two; None where the letter is one piece with what is beside it."""
        (alone,), (spans,) = self.encode([letter]), self.spans([letter.join(parts)])
        ends = list(accumulate(len(part) + 1 for part in parts[:-1]))
        places, met = {(end - 1, end) for end in ends}, set[tuple[int, int]]()
        ids: list[int] = []
        for id_, offset in zip(spans.ids, spans.offsets, strict=True):
            if offset in met:  # the letter's second piece
                continue
            ids.append(id_)
            if offset in places:
                met.add(offset)
                # The space before a word may be a piece of its own.
                size = len(alone) if ids[-len(alone) :] == alone else 1
                ids[-size:] = [mask]
        return ids if met == places else None

    def _masked_apart(self, parts: Sequence[str], mask: int) -> list[int]:
        first, *others = self.encode(parts)
        return [*first, *(id_ for ids in others for id_ in (mask, *ids))]

    def decode(self, sequences: Sequence[Sequence[int]]) -> list[str]:
        """The text of each sequence of ids; special tokens are left out."""
        return self._backend.decode_batch([[int(id_) for id_ in ids] for ids in sequences])

    def tokens(self, ids: Sequence[int]) -> list[str]:
        """Each id as a reader may see it: a space as `▁`, bytes that are no whole character in hex."""
        return [self._readable(int(id_)) for id_ in ids]

    def token_id(self, token: str) -> int | None:
        """The id of a piece exactly as the vocabulary has it, a special token for instance."""
        return self._backend.token_to_id(token)

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`, and some texts with their ids for `load` to check."""
        self._backend.save(str(folder / _FILE))
        vectors = [{"text": text, "ids": ids} for text, ids in self._vectors()]
        (folder / _VECTORS_FILE).write_text(json.dumps(vectors, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises UserError where a file is missing or damaged, or where the two disagree: another version of
        the library or an edited vocabulary would otherwise give ids that the model was never trained on.
        """
        tokenizer = cls(_read_backend(folder / _FILE))
        tokenizer._compare(folder / _VECTORS_FILE)
        return tokenizer

    @classmethod
    def adopt(cls, path: Path, *, special: Sequence[str] = ()) -> Self:
        """Read a `tokenizer.json` from anywhere, for a new model; it gets those of the `special` tokens that it lacks.

        Where its texts with their ids lie beside it, they are checked too. Raises UserError where it is damaged, where
        its ids have gaps, and where <pad>, <s> and </s> are not the first three.
        """
        backend = _read_backend(path)
        try:
            tokenizer = cls(backend)
        except UserError as error:
            raise UserError(f"{path}: {error}: make one with weft tokenizer train") from error
        first = [backend.id_to_token(number) for number in range(3)]
        if first != list(SPECIAL_TOKENS[:3]):
            raise UserError(
                f"{path}: its first tokens are {', '.join(map(str, first))}, where weft needs "
                f"{', '.join(SPECIAL_TOKENS[:3])}: make one with weft tokenizer train"
            )
        if (vectors := path.with_name(f"{path.stem}_vectors{path.suffix}")).is_file():
            tokenizer._compare(vectors)
        backend.add_special_tokens(list(special))
        if max(backend.get_vocab().values()) >= backend.get_vocab_size():
            raise UserError(f"{path}: its ids have gaps: make one with weft tokenizer train")
        return tokenizer

    def _compare(self, path: Path) -> None:
        """Raise UserError where the texts in a file have other ids than it says."""
        try:
            vectors = [(str(vector["text"]), list(vector["ids"])) for vector in json.loads(path.read_bytes())]
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}: it belongs beside the tokenizer") from error
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{path}: not a list of texts and their ids") from error
        for (text, expected), ids in zip(vectors, self.encode([text for text, _ in vectors]), strict=True):
            if ids != expected:
                raise UserError(
                    f"{path}: the tokenizer and its vectors disagree on the ids of {text!r}: one of them was "
                    "changed, or this version of the tokenizers library reads it differently"
                )

    def _special(self, token: str) -> int:
        id_ = self._backend.token_to_id(token)
        assert id_ is not None  # the constructor checked
        return id_

    def _readable(self, id_: int) -> str:
        token = self._backend.id_to_token(id_)
        if token is None:
            raise ValueError(f"id {id_} is outside of the vocabulary of {self.vocab_size}")
        return _spelled(token) if self._byte_level else token.replace(" ", "▁")

    def _vectors(self) -> list[tuple[str, list[int]]]:
        ids = range(len(SPECIAL_TOKENS), self.vocab_size)
        samples = self.decode([ids[start :: max(1, len(ids) // 12)][:24] for start in range(4)])
        texts = [*_PROBES, *samples]
        return list(zip(texts, self.encode(texts), strict=True))


def _trimmed(text: str, begin: int, end: int) -> tuple[int, int]:
    """A piece's characters without the white space around them.

    >>> _trimmed("a dog ", 1, 6)
    (2, 5)
    """
    while begin < end and text[begin].isspace():
        begin += 1
    while begin < end and text[end - 1].isspace():
        end -= 1
    return begin, end


def _read_backend(path: Path) -> tokenizers.Tokenizer:
    try:
        return tokenizers.Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except Exception as error:  # the library raises nothing more precise
        raise UserError(f"{path}: not a tokenizer that the tokenizers library can read: {error}") from error


def _refuse_half_characters(texts: Sequence[str]) -> None:
    """Raise UserError for a text with half of a surrogate pair, as non-UTF-8 on a command line becomes."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{text!r} is not valid Unicode at character {error.start}: write it in UTF-8"
            ) from error


def _byte_of_character() -> dict[str, int]:
    """The 256 characters that stand for the bytes in byte-level vocabularies (Radford et al. 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + rank): byte for rank, byte in enumerate(others)
    }


_BYTE_OF_CHARACTER = _byte_of_character()


def _spelled(token: str) -> str:
    if token in SPECIAL_TOKENS or not all(character in _BYTE_OF_CHARACTER for character in token):
        return token
    raw = bytes(_BYTE_OF_CHARACTER[character] for character in token)
    try:
        return raw.decode().replace(" ", "▁")
    except UnicodeDecodeError:
        return "".join(chr(byte) if 0x20 < byte < 0x7F else f"<0x{byte:02X}>" for byte in raw).replace(
            "<0x20>", "▁"
        )


def special_ids(tokenizer: Tokenizer) -> list[int]:
    """The tokens that no text is made of, and that are never asked for."""
    ids = (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id, tokenizer.mask_id)
    return [id_ for id_ in ids if id_ is not None]
