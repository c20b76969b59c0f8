"""Published families, without torch: presets and their sources, tables between their layouts and weft's."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from numpy.typing import NDArray

from weft.config import FolderConfig, GeneratorConfig, ReaderConfig, TranslatorConfig
from weft.errors import UserError, suggest
from weft.families import bert, decoders, gpt2, llama, marian, roberta, transformer_xl, vaswani
from weft.families.huggingface import Imported, read_json, write_files
from weft.families.table import Preset

__all__ = ["PRESETS", "Imported", "Preset", "export_folder", "import_folder"]

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        **vaswani.PRESETS,
        **bert.PRESETS,
        **roberta.PRESETS,
        **gpt2.PRESETS,
        **transformer_xl.PRESETS,
    }
)
"""Published models' shapes by their names."""

_DECODERS = (*llama.FAMILIES, gpt2.GPT2)

_IMPORTS: Mapping[str, tuple[Callable[[Path], Imported], tuple[str, ...]]] = {
    "marian": (marian.import_marian, marian.ARCHITECTURES),
    "bert": (bert.import_bert, bert.ARCHITECTURES),
    "roberta": (roberta.import_roberta, roberta.ARCHITECTURES),
    "transfo-xl": (transformer_xl.import_transformer_xl, transformer_xl.ARCHITECTURES),
    **{
        each.name: (partial(decoders.import_decoder, family=each), (each.architecture,)) for each in _DECODERS
    },
}


def import_folder(folder: Path) -> Imported:
    """Read a model's folder of another layout, whose family its config.json names.

    Raises UserError where weft does not know the family, cannot express the model, or cannot read the
    weights.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    config = read_json(folder / "config.json")
    family, architectures = config.get("model_type"), config.get("architectures")
    if architectures is None:
        architectures = []
    if not isinstance(architectures, list) or not all(isinstance(name, str) for name in architectures):
        raise UserError(f"{folder / 'config.json'}: architectures is no list of names")
    known = [name for _, names in _IMPORTS.values() for name in names]
    by_class = [name for name, (_, names) in _IMPORTS.items() if set(names) & set(architectures)]
    family = str(family or next(iter(by_class), ""))
    if family not in _IMPORTS:
        named = f'model_type "{family}"' if family else "a config.json without a model_type"
        raise UserError(
            f"{folder}: {named} is no family that weft imports{suggest(family, _IMPORTS)} "
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
    config: FolderConfig,
    weights: Mapping[str, NDArray[Any]],
    tokenizer: Mapping[str, bytes],
) -> None:
    """Write a model as a folder of Hugging Face's; the arguments are as in `Imported`.

    Raises UserError where its layout cannot express the model, or the folder is in use; nothing is written then.
    """
    export: Callable[..., dict[str, bytes]]
    if config.model.recurrence is not None:
        export = transformer_xl.export_transformer_xl
    elif isinstance(config, GeneratorConfig):
        export = partial(decoders.export_decoder, families=_DECODERS)
    elif isinstance(config, TranslatorConfig):
        export = marian.export_marian
    elif not isinstance(config, ReaderConfig):
        raise UserError(f"a model for the task {config.task} has no place in a layout that weft writes")
    elif config.model.position_offset:
        export = roberta.export_roberta
    else:
        export = bert.export_bert
    write_files(folder, export(config, weights, tokenizer=tokenizer))
