"""A translator that runs on CTranslate2."""

from pathlib import Path

import torch
from tokenizers import Tokenizer as Backend

from weft.config import TranslatorConfig
from weft.errors import UserError
from weft.families.marian_tokenizer import MarianTokenizer
from weft.interchange.ctranslate2_engine import CTranslate2
from weft.interchange.ctranslate2_import import TOKENIZER, describe_ctranslate2
from weft.pipelines.translator import Translator
from weft.runs.folder import verify
from weft.runs.manifest import MANIFEST
from weft.text.tokenizer import Tokenizer

__all__ = ["load_ctranslate2"]

# What weft calls a precision, and CTranslate2. By itself it takes the one that the weights were written in.
_PRECISIONS = {"auto": "default", "int8": "int8_float32"}


def load_ctranslate2(folder: Path, *, task: str | None, device: torch.device, precision: str) -> Translator:
    """The translator in a CTranslate2 folder, weft's own or another one.

    Raises UserError for a model with another task, and for a precision that the machine has not.
    """
    if (folder / MANIFEST).is_file():
        verify(folder)
    config, files = describe_ctranslate2(folder)
    if task is not None and config.task != task:
        raise UserError(f"{folder}: a model for the task {config.task}, where one for {task} is needed")
    if not isinstance(config, TranslatorConfig):
        raise UserError(
            f"{folder}: a model for the task {config.task}: weft runs translators alone on CTranslate2"
        )
    tokenizer: Tokenizer | MarianTokenizer
    if "source.spm" in files:
        tokenizer = MarianTokenizer(files)
    elif (folder / TOKENIZER).is_file():
        tokenizer = Tokenizer.load(folder)
    else:
        tokenizer = Tokenizer(Backend.from_str(files[TOKENIZER].decode()))
    engine = CTranslate2(
        folder,
        pieces=tokenizer.pieces,
        model=config.model,
        device=device.type,
        index=device.index or 0,
        precision=_PRECISIONS.get(precision, precision),
        threads=torch.get_num_threads(),
    )
    return Translator(config, network=engine, tokenizer=tokenizer, precision=engine.precision)
