"""Models of other layouts come in, and models of weft's go out."""

from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Tokenizer as Backend

from weft.config import ClassifierConfig
from weft.description import CONFIG, DESCRIPTION, tokenizer_class
from weft.errors import UserError, suggest
from weft.families import export_folder, import_folder
from weft.families.huggingface import write_files
from weft.families.reader_tokenizer import READER_FILES
from weft.families.tokenizer_files import SENTENCEPIECE_FILES
from weft.interchange.ctranslate2_export import export_ctranslate2
from weft.interchange.ctranslate2_import import (
    TOKENIZER,
    import_ctranslate2,
    is_ctranslate2,
)
from weft.interchange.extras import need
from weft.interchange.onnx_engine import is_onnx
from weft.interchange.onnx_export import export_onnx
from weft.interchange.onnx_readme import onnx_readme
from weft.models.ngrams import NGRAMS
from weft.runs.folder import PAGE, refuse_used, verify, write_folder
from weft.runs.manifest import MANIFEST
from weft.runs.tensors import MODEL, save_tensors
from weft.saved import Saved, load_saved

__all__ = ["LAYOUTS", "export_model", "import_model", "load_any"]

LAYOUTS = ("huggingface", "ctranslate2", "onnx", "savedmodel")
"""What weft exports to."""


def import_model(folder: str | Path, *, out: str | Path) -> None:
    """Turn a folder of Hugging Face's or CTranslate2's into a weft model."""
    if is_ctranslate2(Path(folder)):
        if (Path(folder) / MANIFEST).is_file():
            verify(Path(folder))
        imported = import_ctranslate2(Path(folder))
    elif is_onnx(Path(folder)):
        raise UserError(
            f"{folder}: a model for ONNX Runtime, which does not come back: take the one that it was exported from"
        )
    elif (Path(folder) / MANIFEST).is_file():
        raise UserError(f"{folder}: a folder of weft's already: use it as it is")
    else:
        imported = import_folder(Path(folder))
    if not imported.tokenizer:
        raise UserError(
            f"{folder}: no tokenizer in it, neither {', nor '.join(READER_FILES)}, nor "
            f"{', '.join(SENTENCEPIECE_FILES)}: put its files beside the model's"
        )
    weights = {name: torch.from_numpy(array) for name, array in imported.weights.items()}
    files = dict(imported.tokenizer)
    if TOKENIZER in files:  # written again, with the vectors that are checked on loading
        with TemporaryDirectory() as aside:
            read = tokenizer_class(imported.config)
            read(Backend.from_str(files[TOKENIZER].decode())).save(Path(aside))
            files |= {path.name: path.read_bytes() for path in Path(aside).iterdir()}
    write_folder(
        Path(out),
        kind=imported.config.task,
        files={
            CONFIG: imported.config.model_dump_json(indent=2).encode(),
            MODEL: partial(save_tensors, tensors=weights),
            **files,
        },
    )


def export_model(
    run: str | Path, *, out: str | Path, to: str = "huggingface", quantization: str | None = None
) -> tuple[str, ...]:
    """Turn a weft model into a folder of another layout: "huggingface", "ctranslate2", "onnx" or TensorFlow's "savedmodel".

    A model that it cannot express is refused. CTranslate2 and ONNX have a `quantization` of the weights.

    Says what stayed behind: a classifier's network goes without the linear model beside it.
    """
    folder = Path(run)
    if to not in LAYOUTS:
        raise UserError(
            f'weft exports to no layout "{to}"{suggest(to, LAYOUTS)} (known: {", ".join(LAYOUTS)})'
        )
    if quantization is not None and to not in ("ctranslate2", "onnx"):
        raise UserError(
            f"quantization {quantization}: the layout {to} has none: ask for it --to ctranslate2 or onnx"
        )
    refuse_used(Path(out))
    saved = load_saved(folder)
    names = ("tokenizer*.json", "*.spm", "vocab.json")  # as runs and imports keep them
    tokenizer = {path.name: path.read_bytes() for name in names for path in folder.glob(name)}
    weights = {name: tensor.numpy() for name, tensor in saved.model.state_dict().items()}
    described = {DESCRIPTION: saved.config.model_dump_json(indent=2).encode()}
    precision = quantization or "float32"
    votes = isinstance(saved.config, ClassifierConfig) and saved.config.vote > 0
    if to == "onnx":
        ngrams = {path.name: path.read_bytes() for path in folder.glob(NGRAMS)}
        files = export_onnx(saved.config, weights, quantization=precision)
        page = onnx_readme(saved.config, tokenizer=saved.tokenizer, precision=precision)
        beside = {PAGE: page.encode(), **described, **tokenizer, **ngrams}
        write_folder(Path(out), kind="onnx", files=files | beside)
        return ()
    if to == "ctranslate2":
        files = export_ctranslate2(
            saved.config, weights, pieces=saved.tokenizer.pieces, quantization=precision
        )
        write_folder(Path(out), kind="ctranslate2", files=files | described | tokenizer)
    elif to == "savedmodel":
        need("tensorflow", extra="tensorflow")
        export = import_module("weft.keras.savedmodel").export_savedmodel
        write_files(Path(out), export(saved.config, weights, tokenizer=saved.tokenizer, files=tokenizer))
    else:
        export_folder(Path(out), config=saved.config, weights=weights, tokenizer=tokenizer)
    if votes:
        return (
            "the linear model that votes beside the network stays behind: with --set classify.ngrams=false a run is "
            "calibrated without it",
        )
    return ()


def load_any(folder: Path) -> Saved:
    """The model in a folder, weft's or Hugging Face's."""
    if (folder / MANIFEST).is_file():
        return load_saved(folder)
    with TemporaryDirectory() as aside:
        import_model(folder, out=Path(aside) / "model")
        return load_saved(Path(aside) / "model")
