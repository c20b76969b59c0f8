"""Generation: one search loop for every model that predicts a next token."""

from weft.generate.batches import generate
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.generate.loop import search
from weft.generate.predictor import Predictor
from weft.generate.prompts import continue_prompts, stop_at

__all__ = [
    "Hypothesis",
    "Predictor",
    "SearchConfig",
    "continue_prompts",
    "generate",
    "search",
    "stop_at",
]
