"""Libraries that only some forms need, imported when they are."""

from importlib import import_module
from types import ModuleType

from weft.errors import UserError

__all__ = ["need"]


def need(module: str, *, extra: str) -> ModuleType:
    """The module; a UserError that says what to install where it is not there."""
    try:
        return import_module(module)
    except ImportError as error:
        raise UserError(f"{module} is not installed: pip install 'weft[{extra}]'") from error
