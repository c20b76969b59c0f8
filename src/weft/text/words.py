"""Words as a search knows them: the tokens that a text becomes wherever it may stand in a sentence."""

from collections.abc import Callable, Sequence

from weft.errors import UserError

__all__ = ["spellings"]

BETWEEN = (" ", ' "', " '", " (", " [", " „", " “", " ‘", " «", "-", "/")


def spellings(
    text: str, *, encode: Callable[[Sequence[str]], list[list[int]]], start: int, unknown: int
) -> list[tuple[int, ...]]:
    """The tokens of a word or phrase, as it is written, wherever a sentence may hold it; after a space comes first.

    Behind an opening mark the mark's tokens lead, at the beginning of a sentence the `start` token does, so that
    the inside of a longer word is none of them. Raises UserError where nothing but `unknown` would stand for it.
    """
    word = text.strip()
    if not word:
        raise UserError(f"{text!r} is no word to ban or to force: write one or more characters")
    # Said twice, the first time is the context of the second: a text that is sure to be in the vocabulary.
    first, *twice = encode([word, *(f"{word}{between}{word}" for between in BETWEEN)])
    if unknown in first or not first:
        raise UserError(f'"{word}" cannot be banned or forced: the model has no tokens to write it with')
    found = [tuple(ids[len(first) :]) for ids in twice if ids[: len(first)] == first]
    if tuple(first) not in found:
        found.append((start, *first))
    return [ids for ids in dict.fromkeys(found) if unknown not in ids]
