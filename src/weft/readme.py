"""What the page beside an exported model says of token ids, and how a program without weft makes them of a text."""

from typing import NamedTuple

from weft.config import FolderConfig, GeneratorConfig, ReaderConfig, TranslatorConfig
from weft.families.marian_tokenizer import MarianTokenizer
from weft.text.tokenizer import Tokenizer

__all__ = ["EXAMPLE", "Frame", "Reading", "example", "frame_of", "joined", "reading_of"]

EXAMPLES = {"de": "Ein Hund läuft.", "fr": "Un chien court."}
EXAMPLE = "A dog runs."


class Frame(NamedTuple):
    """The ids that stand before a text, between two, and after; the padding of short rows; what a decoder begins with, and
    the ids that end what it writes; and by language, the id in front that says what language to write."""

    before: list[int]
    between: list[int]
    after: list[int]
    pad: int
    start: list[int]
    ends: list[int]
    tags: dict[str, int]

    def describe(self) -> str:
        """What stands around a text, in words."""
        said = []
        if self.tags:
            said.append(f"A text's first id says what language to write: {self.tags}.")
        for where, ids in (
            ("Before a text", self.before),
            ("Between two texts", self.between),
            ("After a text", self.after),
        ):
            if ids:
                said.append(
                    f"{where} {'stands the id' if len(ids) == 1 else 'stand the ids'} {_listed(ids)}."
                )
        return " ".join(said)


def frame_of(folder: FolderConfig, tokenizer: Tokenizer | MarianTokenizer) -> Frame:
    """What stands around the texts that a model reads and writes."""
    special = folder.model.special
    if isinstance(folder, ReaderConfig):
        assert isinstance(tokenizer, Tokenizer)
        before, between, after = tokenizer.layout
        return Frame(list(before), list(between), list(after), special.pad, [], [], {})
    if isinstance(folder, GeneratorConfig):
        return Frame(list(folder.prefix), [], [], special.pad, [], [special.end, *folder.ends], {})
    ended = not isinstance(folder, TranslatorConfig) or folder.ends_source
    tags = {}
    if isinstance(folder, TranslatorConfig) and folder.tags:
        for _, language in folder.directions:
            tag = tokenizer.token_id(f"<2{language}>")
            assert tag is not None
            tags[language] = tag
    return Frame([], [], [special.end] if ended else [], special.pad, [special.start], [special.end], tags)


def example(folder: FolderConfig) -> str:
    """A text that a page's program may give to the model."""
    if isinstance(folder, TranslatorConfig):
        return EXAMPLES.get(folder.directions[0][0], EXAMPLE)
    return EXAMPLE


def joined(*parts: object) -> str:
    """A sum of lists as a program has it, without the empty ones."""
    return " + ".join(str(part) for part in parts if part)


def _listed(ids: list[int]) -> str:
    return ", ".join(map(str, ids))


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
    code = text[: text.find("<<") + 2] if text.startswith(">>") and "<<" in text else ""
    split = [code] * bool(code) + source.encode(text[len(code) :], out_type=str)
    return [numbers.get(piece, numbers["<unk>"]) for piece in split]


def text_of(found):
    words = [pieces[number] for number in found if number in pieces]
    return target.decode_pieces(words).replace("▁", " ").strip()
"""
