"""Sentences in three languages, and their division into training, validation and test parts."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple
from zlib import crc32

from weft.corpus import de, en, fr
from weft.corpus.grammar import Grammar
from weft.corpus.meaning import Pairing, Sentence, pairings
from weft.corpus.words import lexicon
from weft.errors import UserError

__all__ = ["Triple", "generate", "is_held_out", "split_corpus", "write_corpus"]

_ONE_IN = 12


class Triple(NamedTuple):
    """One meaning in three languages; any of the three determines the other two."""

    en: str
    de: str
    fr: str


def generate(*, seed: int, count: int) -> Iterator[Triple]:
    """That many sentences, repetitions among them, as the grammar happens to draw them."""
    grammar = Grammar(lexicon(), random=Random(seed))
    return (_realise(grammar.sentence()) for _ in range(count))


def is_held_out(pairing: Pairing) -> bool:
    """Whether training never shows the two lemmas together: one in twelve, whatever the seed."""
    return crc32(" ".join(pairing).encode()) % _ONE_IN == 0


def split_corpus(
    *, seed: int = 1, train: int = 60_000, valid: int = 500, test: int = 1_000
) -> dict[str, list[Triple]]:
    """The parts "train", "valid" and "test", all sentences different.

    Each sentence for validation and test holds at least one pairing of an adjective with a noun, or of a verb
    with its subject or object, that no training sentence holds.
    """
    sizes = {"test": test, "valid": valid, "train": train}
    for name, size in sizes.items():
        if size < 0:
            raise UserError(
                f"the {name} part of the corpus cannot have {size} sentences: give a number from 0 up"
            )
    grammar = Grammar(lexicon(), random=Random(seed))
    parts: dict[str, list[Triple]] = {name: [] for name in sizes}
    seen: set[Triple] = set()
    while any(len(parts[name]) < size for name, size in sizes.items()):
        sentence = grammar.sentence()
        unseen = any(map(is_held_out, pairings(sentence)))
        name = "train" if not unseen else "test" if len(parts["test"]) < test else "valid"
        if len(parts[name]) == sizes[name]:
            continue
        triple = _realise(sentence)
        if triple not in seen:
            seen.add(triple)
            parts[name].append(triple)
    return parts


def write_corpus(
    folder: str | os.PathLike[str], *, seed: int = 1, train: int = 60_000, valid: int = 500, test: int = 1_000
) -> None:
    """Writes `train`, `valid` and `test`, each as `.en`, `.de` and `.fr`, translations line by line.

    Each file is written aside and renamed, so that none is ever half there.
    """
    parts = split_corpus(seed=seed, train=train, valid=valid, test=test)
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
        for name, triples in parts.items():
            for language in Triple._fields:
                lines = "".join(f"{getattr(triple, language)}\n" for triple in triples)
                _write_whole(target / f"{name}.{language}", lines)
    except OSError as error:
        raise UserError(
            f"{error.filename or target}: cannot write the corpus there ({error.strerror})"
        ) from error


def _write_whole(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _realise(sentence: Sentence) -> Triple:
    return Triple(en.realise(sentence), de.realise(sentence), fr.realise(sentence))
