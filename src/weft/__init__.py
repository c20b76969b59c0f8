"""The Transformer family in one small library: `weft.train`, `weft.load` and the bricks, `weft.nn`.

Importing the package is light: each name below loads what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft import nn
    from weft.api import load, train

__all__ = ["__version__", "load", "nn", "train"]

__version__ = "0.1.0"

_HOMES = {"load": "weft.api", "train": "weft.api"}


def __getattr__(name: str) -> object:
    if name == "nn":
        return import_module("weft.nn")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
