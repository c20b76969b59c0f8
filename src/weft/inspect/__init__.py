"""Look into a model: every head's attention as arrays, in words, and as one self-contained page."""

from weft.inspect.heads import Group, Habit, Habits, describe, readable, translation_groups
from weft.inspect.maps import AttentionMaps, alignment, attention
from weft.inspect.pages import Text, page, write_page

__all__ = [
    "AttentionMaps",
    "Group",
    "Habit",
    "Habits",
    "Text",
    "alignment",
    "attention",
    "describe",
    "page",
    "readable",
    "translation_groups",
    "write_page",
]
