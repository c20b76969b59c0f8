"""Named entities: texts in words, entities in words, and the schemes that mark them with a tag for each word."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Literal, NamedTuple
from unicodedata import category

from weft.data.conll import Columns, Mark, Marked, open_files, read_columns, read_marked
from weft.data.sources import Report
from weft.errors import UserError

__all__ = [
    "OUTSIDE",
    "Scheme",
    "Sentence",
    "Span",
    "Tagged",
    "find_scheme",
    "labels_of",
    "read_tagged",
    "split_words",
    "to_iob2",
    "to_spans",
]

OUTSIDE = "O"  # the tag of a word that is in no entity
PLACES = 3  # that a note names

Scheme = Literal["iob1", "iob2", "bioes"]

_TAG = re.compile(r"([BIESLU])-(.*\S.*)")
_LETTERS = {"L": "E", "U": "S"}  # BILOU's names for the same

# Scripts without spaces between words, whose characters are words of their own: ideographs and kana, Thai and Lao,
# Myanmar, Khmer.
_UNSPACED = (
    (0x2E80, 0xA4CF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
    (0xE00, 0xEFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
)

# In kinds of characters: l letter, n number, m mark, u of an unspaced script, s white space, . and , themselves.
_WORDS = re.compile(r"(?<![lnm])(?:l\.){2,}|n+(?:[.,]n+)+|um*|[lnm]+|[^s]")


class Span(NamedTuple):
    """An entity: the words from `begin` to before `end`, counted from 0."""

    begin: int
    end: int
    label: str


class Sentence(NamedTuple):
    """A text, the characters (begin, end) of its words, its entities, and the place it stands at."""

    text: str
    words: tuple[tuple[int, int], ...]
    spans: tuple[Span, ...]
    place: str


class Tagged(NamedTuple):
    """What was read, and in words what could not be taken as it stood."""

    sentences: list[Sentence]
    notes: list[str]


def split_words(text: str) -> list[tuple[int, int]]:
    """The characters (begin, end) of each word: runs of letters and digits, and every other character by itself.

    Initials and numbers stay whole; scripts without spaces are read character by character.

    >>> text = "The U.S. paid $1,234.5 (twice)."
    >>> [text[begin:end] for begin, end in split_words(text)]
    ['The', 'U.S.', 'paid', '$', '1,234.5', '(', 'twice', ')', '.']
    """
    kinds = "".join(map(_kind, text))
    return [found.span() for found in _WORDS.finditer(kinds)]


@cache
def _kind(character: str) -> str:
    if character.isspace():
        return "s"
    if character in ".,":
        return character
    general = category(character)
    if general[0] == "M" or general == "Cf":  # what joins or parts letters within a word is invisible
        return "m"
    if general[0] == "L" and any(first <= ord(character) <= last for first, last in _UNSPACED):
        return "u"
    return {"L": "l", "N": "n"}.get(general[0], "o")


def read_tagged(specs: Sequence[str], *, scheme: Scheme | Literal["auto"]) -> Tagged:
    """All sentences of some files, CoNLL's columns or JSON Lines; `scheme` "auto" is found for each file by its tags.

    A blank text is left out. Raises UserError with the place of what cannot be read, and where there is nothing at all.
    """
    sentences: list[Sentence] = []
    report, notes = Report(), _Notes()
    for file, is_json in open_files(specs):
        if is_json:
            for marked in read_marked(file):
                if marked.text.strip():
                    sentences.append(_in_words(marked, notes))
                else:
                    report.drop("empty", path=marked.path, line=marked.line)
            continue
        columns = list(read_columns(file))
        found = find_scheme(columns) if scheme == "auto" else scheme
        sentences += [_joined(each, found) for each in columns]
    if not sentences:
        raise UserError(f"{', '.join(specs)}: not a single sentence")
    return Tagged(sentences, [*report.lines()[1:], *notes.lines()])


def labels_of(sentences: Iterable[Sentence]) -> tuple[str, ...]:
    """IOB2's tags for the entities there are: O, then B and I for each of their labels."""
    labels = sorted({span.label for sentence in sentences for span in sentence.spans})
    return (OUTSIDE, *(f"{letter}-{label}" for label in labels for letter in "BI"))


def find_scheme(sentences: Iterable[Columns]) -> Scheme:
    """The scheme that these tags are in.

    E and S (or L and U) are BIOES's alone. In IOB1 an entity begins with I unless another of its label is just before it,
    in IOB2 with B always (Tjong Kim Sang and Veenstra 1999, section 2). Raises UserError where tags do both.
    """
    begins: dict[str, tuple[str, str]] = {}  # by letter, the first tag that begins an entity where IOB1 has I
    for sentence in sentences:
        before = ""
        for number, (letter, label) in enumerate(_parsed(sentence)):
            if letter in "ES":
                return "bioes"
            if label and label != before:
                begins.setdefault(letter, (sentence.tags[number], _place(sentence, number)))
            before = label
    if len(begins) == 2:
        (b_tag, b_place), (i_tag, i_place) = begins["B"], begins["I"]
        raise UserError(
            f'{i_place}: "{i_tag}" begins an entity, as in IOB1, but at {b_place} "{b_tag}" does, as in IOB2: mend the '
            "tags, or set tag.scheme to iob1, which takes both"
        )
    return "iob1" if "I" in begins else "iob2"


def to_spans(sentence: Columns, *, scheme: Scheme) -> tuple[Span, ...]:
    """The entities that the tags of a sentence say.

    Raises UserError with the line of a tag that does not belong to the scheme or may not stand where it does; only in
    IOB1 any may, and a B where it is not needed begins an entity all the same.
    """
    return tuple(
        _bioes_spans(sentence) if scheme == "bioes" else _iob_spans(sentence, strict=scheme == "iob2")
    )


def to_iob2(spans: Iterable[Span], *, words: int) -> list[str]:
    """A tag for each word (Ramshaw and Marcus 1995, as Tjong Kim Sang and Veenstra 1999 have it in IOB2).

    >>> to_iob2([Span(1, 3, "LOC")], words=4)
    ['O', 'B-LOC', 'I-LOC', 'O']
    """
    tags = [OUTSIDE] * words
    for begin, end, label in spans:
        tags[begin:end] = [f"B-{label}", *[f"I-{label}"] * (end - begin - 1)]
    return tags


def _iob_spans(sentence: Columns, *, strict: bool) -> Iterator[Span]:
    begin, current = 0, ""
    for number, (letter, label) in enumerate([*_parsed(sentence), (OUTSIDE, "")]):
        if letter in "ES":
            raise _wrong(sentence, number, "is of the scheme BIOES: set tag.scheme to bioes, or to auto")
        follows = letter == "I" and label == current
        if strict and letter == "I" and not follows:
            raise _wrong(sentence, number, f'follows neither "B-{label}" nor "I-{label}", as IOB2 needs it')
        if current and not follows:
            yield Span(begin, number, current)
        if not follows:
            begin, current = number, label


def _bioes_spans(sentence: Columns) -> Iterator[Span]:
    begin, current = 0, ""  # of an entity that has begun and not ended
    for number, (letter, label) in enumerate([*_parsed(sentence), (OUTSIDE, "")]):
        inside = letter in "IE"
        if inside and label != current:
            raise _wrong(sentence, number, f'follows neither "B-{label}" nor "I-{label}", as BIOES needs it')
        if current and not inside:
            raise _wrong(sentence, number - 1, f'is not ended by an "E-{current}", as BIOES needs it')
        if letter in "BS":
            begin, current = number, label
        if letter in "ES":
            yield Span(begin, number + 1, current)
            current = ""


def _parsed(sentence: Columns) -> Iterator[tuple[str, str]]:
    """Each tag's letter and label; O has no label."""
    for number, tag in enumerate(sentence.tags):
        if tag == OUTSIDE:
            yield OUTSIDE, ""
        elif found := _TAG.fullmatch(tag):
            yield _LETTERS.get(found[1], found[1]), found[2]
        else:
            raise _wrong(sentence, number, "fits no scheme: a tag is O, or B-, I-, E- or S- and a label")


def _place(sentence: Columns, number: int) -> str:
    return f"{sentence.path}:{sentence.line + number}"


def _wrong(sentence: Columns, number: int, why: str) -> UserError:
    return UserError(f'{_place(sentence, number)}: the tag "{sentence.tags[number]}" {why}')


def _joined(columns: Columns, scheme: Scheme) -> Sentence:
    """The words with a space between them as a text."""
    places, at = [], 0
    for word in columns.words:
        places.append((at, at + len(word)))
        at += len(word) + 1
    spans = to_spans(columns, scheme=scheme)
    return Sentence(" ".join(columns.words), tuple(places), spans, _place(columns, 0))


class _Notes:
    """Entities that are not whole words, counted with their first places."""

    def __init__(self) -> None:
        self.places: dict[str, list[str]] = {}

    def add(self, what: str, place: str) -> None:
        self.places.setdefault(what, []).append(place)

    def lines(self) -> list[str]:
        return [
            f"{what}: {len(places):,}, at {', '.join(places[:PLACES])}{', …' if len(places) > PLACES else ''}"
            for what, places in self.places.items()
        ]


def _in_words(marked: Marked, notes: _Notes) -> Sentence:
    """A text in words, and its entities in those words that have one of their characters."""
    words, place = split_words(marked.text), f"{marked.path}:{marked.line}"
    spans: list[Span] = []
    number = 0  # of the first word that no entity has
    for mark in marked.entities:
        while number < len(words) and words[number][1] <= mark.start:
            number += 1
        begin = number
        while number < len(words) and words[number][0] < mark.end:
            number += 1
        if begin == number:
            notes.add("entities left out, which have no word of their own", place)
            continue
        if (words[begin][0], words[number - 1][1]) != _trimmed(marked.text, mark):
            notes.add("entities that begin or end within a word, which counts as theirs", place)
        spans.append(Span(begin, number, mark.label))
    return Sentence(marked.text, tuple(words), tuple(spans), place)


def _trimmed(text: str, mark: Mark) -> tuple[int, int]:
    """An entity's characters without the white space around them."""
    inside = text[mark.start : mark.end]
    return mark.start + len(inside) - len(inside.lstrip()), mark.start + len(inside.rstrip())
