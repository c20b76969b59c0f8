"""What the page beside an exported model says of token ids, and how a program without weft makes them of a text."""

from typing import NamedTuple

from weft.config import FolderConfig, GeneratorConfig, ReaderConfig, TranslatorConfig
from weft.families.marian_tokenizer import MarianTokenizer
from weft.text.tokenizer import Tokenizer

__all__ = ["README", "Frame", "Reading", "frame_of", "reading_of"]

README = "README.md"


class Frame(NamedTuple):
    """The ids that stand before a text, between two, and after; and the padding of short rows."""

    before: list[int]
    between: list[int]
    after: list[int]
    pad: int

    def describe(self) -> str:
        """The same in words."""
        said = f"The padding is the id {self.pad}."
        for where, ids in (("Before a text", self.before), ("Between two texts", self.between)):
            said += f" {where} stand the ids {ids}." if ids else ""
        return said + (f" After a text stand the ids {self.after}." if self.after else "")


def frame_of(folder: FolderConfig, tokenizer: Tokenizer | MarianTokenizer) -> Frame:
    """What stands around the texts that a model reads."""
    special = folder.model.special
    if isinstance(folder, ReaderConfig):
        assert isinstance(tokenizer, Tokenizer)
        before, between, after = tokenizer.layout
        return Frame(list(before), list(between), list(after), special.pad)
    if isinstance(folder, GeneratorConfig):
        return Frame(list(folder.prefix), [], [], special.pad)
    ended = not isinstance(folder, TranslatorConfig) or folder.ends_source
    return Frame([], [], [special.end] if ended else [], special.pad)


class Reading(NamedTuple):
    """The lines of a program that make `ids(text)` of a text, and a text of ids, `text_of(found)`."""

    library: str  # what they need
    imports: str
    lines: str


def reading_of(tokenizer: Tokenizer | MarianTokenizer) -> Reading:
    """How a tokenizer's files are used in a program."""
    if isinstance(tokenizer, MarianTokenizer):
        return Reading("sentencepiece", "import sentencepiece", MARIAN)
    return Reading("tokenizers", "from tokenizers import Tokenizer", TOKENIZER)


TOKENIZER = """\
tokenizer = Tokenizer.from_file("tokenizer.json")
tokenizer.encode_special_tokens = True  # a text that spells </s> means just that


def ids(text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def text_of(found):
    return tokenizer.decode(list(found))
"""

MARIAN = """\
numbers = json.load(open("vocab.json", encoding="utf-8"))
source = sentencepiece.SentencePieceProcessor(model_file="source.spm")
target = sentencepiece.SentencePieceProcessor(model_file="target.spm")
pieces = {number: piece for piece, number in numbers.items()}


def ids(text):  # a language code in front, as in ">>fra<< Hello.", is one token
    code, mark, rest = text.partition("<<") if text.startswith(">>") else ("", "", text)
    split = [code + mark] * bool(code) + source.encode(rest, out_type=str)
    return [numbers.get(piece, numbers["<unk>"]) for piece in split]


def text_of(found):
    return target.decode_pieces([pieces[number] for number in found]).replace("▁", " ").strip()
"""
