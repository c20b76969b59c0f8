"""Look into a model: every head's attention as arrays and in words, what an answer rests on, and both as one page.

Each name below loads what it needs when it is first used: models that run elsewhere do without PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.inspect.attribution import Attribution, Target, attribute, log_odds
    from weft.inspect.heads import (
        Group,
        Habit,
        Habits,
        describe,
        readable,
        reading_group,
        translation_groups,
        writing_groups,
    )
    from weft.inspect.maps import AttentionMaps, attention, causal_attention, self_attention
    from weft.inspect.marks import Mark, find_marks
    from weft.inspect.pages import Explained, Text, page, write_page
    from weft.inspect.readers import Inspected, Question, inspect_reading

__all__ = [
    "AttentionMaps",
    "Attribution",
    "Explained",
    "Group",
    "Habit",
    "Habits",
    "Inspected",
    "Mark",
    "Question",
    "Target",
    "Text",
    "attention",
    "attribute",
    "causal_attention",
    "describe",
    "find_marks",
    "inspect_reading",
    "log_odds",
    "page",
    "readable",
    "reading_group",
    "self_attention",
    "translation_groups",
    "write_page",
    "writing_groups",
]

_MODULES = {
    "attribution": (
        "Attribution",
        "Target",
        "attribute",
        "log_odds",
    ),
    "heads": (
        "Group",
        "Habit",
        "Habits",
        "describe",
        "readable",
        "reading_group",
        "translation_groups",
        "writing_groups",
    ),
    "maps": (
        "AttentionMaps",
        "attention",
        "causal_attention",
        "self_attention",
    ),
    "marks": (
        "Mark",
        "find_marks",
    ),
    "pages": (
        "Explained",
        "Text",
        "page",
        "write_page",
    ),
    "readers": (
        "Inspected",
        "Question",
        "inspect_reading",
    ),
}


def __getattr__(name: str) -> object:
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"weft.inspect.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
