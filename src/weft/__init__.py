"""The Transformer family in one small library: `weft.train`, `weft.load` and the bricks, `weft.nn`.

Importing the package is light: each name below loads what it needs when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft import nn
    from weft.api import export_model, import_model, resume, train
    from weft.facts import info
    from weft.loading import load

__all__ = ["__version__", "export_model", "import_model", "info", "load", "nn", "resume", "train"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name == "nn":
        return import_module("weft.nn")
    if name == "load":
        return import_module("weft.loading").load
    if name == "info":
        return import_module("weft.facts").info
    if name in __all__:
        return getattr(import_module("weft.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
