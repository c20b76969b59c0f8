"""Models of other layouts come in, and models of weft's go out."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from tokenizers import Tokenizer as Backend

from weft.config import ClassifierConfig
from weft.errors import UserError
from weft.families import export_folder, import_folder
from weft.families.reader_tokenizer import READER_FILES
from weft.families.tokenizer_files import SENTENCEPIECE_FILES
from weft.runs.folder import write_folder
from weft.runs.manifest import MANIFEST
from weft.runs.tensors import MODEL, save_tensors
from weft.saved import CONFIG, Saved, load_saved, tokenizer_class

__all__ = ["export_model", "import_model", "load_any"]

TOKENIZER = "tokenizer.json"


def import_model(folder: str | Path, *, out: str | Path) -> None:
    """Turn a Hugging Face folder into a weft model."""
    if (Path(folder) / MANIFEST).is_file():
        raise UserError(f"{folder}: a folder of weft's already: use it as it is")
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


def export_model(run: str | Path, *, out: str | Path, to: str = "huggingface") -> tuple[str, ...]:
    """Turn a weft model into a folder of another layout; a model that it cannot express is refused.

    Says what stayed behind: a classifier's network goes without the linear model beside it.
    """
    folder = Path(run)
    saved = load_saved(folder)
    names = ("tokenizer*.json", "*.spm", "vocab.json")  # as runs and imports keep them
    tokenizer = {path.name: path.read_bytes() for name in names for path in folder.glob(name)}
    export_folder(
        Path(out),
        layout=to,
        config=saved.config,
        weights={name: tensor.numpy() for name, tensor in saved.model.state_dict().items()},
        tokenizer=tokenizer,
    )
    if isinstance(saved.config, ClassifierConfig) and saved.config.vote:
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
