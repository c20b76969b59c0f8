"""Look into a model: every head's attention as arrays and in words, what an answer rests on, and both as one page."""

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
from weft.inspect.maps import (
    AttentionMaps,
    alignment,
    attention,
    causal_attention,
    self_attention,
)
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
    "alignment",
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
