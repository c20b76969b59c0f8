"""What users hand over, checked."""

from collections.abc import Iterable

from weft.errors import UserError

__all__ = ["checked_texts", "kind_of"]


def checked_texts(text: str | Iterable[str]) -> list[str]:
    """The texts, of which a single one may come without a list; a UserError where there is something else."""
    if isinstance(text, str):
        return [text]
    if isinstance(text, bytes) or not isinstance(text, Iterable):
        raise UserError(f"a text or a list of texts is wanted, not {kind_of(text)}")
    texts = list(text)
    for place, each in enumerate(texts):
        if not isinstance(each, str):
            raise UserError(
                f"a list of texts is wanted, and number {place}, counted from 0, is {kind_of(each)}"
            )
    return texts


def kind_of(value: object) -> str:
    """What a value is, for an error.

    >>> kind_of(b"a"), kind_of(None), kind_of(5)
    ('bytes: decode them', 'None', 'of type int')
    """
    match value:
        case None:
            return "None"
        case bytes():
            return "bytes: decode them"
    return f"of type {type(value).__name__}"
