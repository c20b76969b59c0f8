"""Published families, without torch: presets and their sources, tables between their layouts and weft's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from weft.config import FolderConfig
from weft.errors import UserError, suggest
from weft.families.huggingface import Imported, read_json, write_files
from weft.families.marian import ARCHITECTURES, export_marian, import_marian
from weft.families.vaswani import PRESETS, Preset

__all__ = ["PRESETS", "Imported", "Preset", "export_folder", "import_folder"]

_IMPORTS = {"marian": (import_marian, ARCHITECTURES)}
_EXPORTS = {"huggingface": {"translate": export_marian}}


def import_folder(folder: Path) -> Imported:
    """Read a model's folder of another layout, whose family its config.json names.

    Raises UserError where weft does not know the family, cannot express the model, or cannot read the
    weights.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    config = read_json(folder / "config.json")
    family, architectures = config.get("model_type"), config.get("architectures") or ()
    known = [name for _, names in _IMPORTS.values() for name in names]
    by_class = [name for name, (_, names) in _IMPORTS.items() if set(names) & set(architectures)]
    family = family or next(iter(by_class), None)
    if family not in _IMPORTS:
        named = f'model_type "{family}"' if family else "a config.json without a model_type"
        raise UserError(
            f"{folder}: {named} is no family that weft imports{suggest(str(family), _IMPORTS)} "
            f"(known: {', '.join(_IMPORTS)})"
        )
    read, expected = _IMPORTS[family]
    if architectures and not set(expected) & set(architectures):
        raise UserError(
            f'{folder}: architecture "{architectures[0]}" is none that weft imports'
            f"{suggest(str(architectures[0]), known)} (known: {', '.join(known)})"
        )
    return read(folder)


def export_folder(
    folder: Path,
    *,
    layout: str,
    config: FolderConfig,
    weights: Mapping[str, NDArray[Any]],
    tokenizer: Mapping[str, bytes],
) -> None:
    """Write a model as a folder of another layout, "huggingface"; the arguments are as in `Imported`.

    Raises UserError where the layout cannot express the model, or the folder is in use; nothing is written
    then.
    """
    if layout not in _EXPORTS:
        raise UserError(
            f'weft exports to no layout "{layout}"{suggest(layout, _EXPORTS)} (known: {", ".join(_EXPORTS)})'
        )
    write_files(folder, _EXPORTS[layout][config.task](config, weights, tokenizer=tokenizer))
