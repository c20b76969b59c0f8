"""Errors that are the user's to mend: one clear line, exit status 2, no traceback."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["Terminated", "UserError", "suggest"]


class UserError(Exception):
    """What was wrong, where (file, line, field), and what to do about it, in one line."""


class Terminated(KeyboardInterrupt):
    """SIGTERM asked the process to end."""


def suggest(word: str, known: Iterable[str]) -> str:
    """The nearest known word as a parenthesis to append to an error, or nothing.

    >>> suggest("traslate", ["translate", "classify"])
    ' (did you mean "translate"?)'
    >>> suggest("xyz", ["translate", "classify"])
    ''
    """
    nearest = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{nearest[0]}"?)' if nearest else ""
