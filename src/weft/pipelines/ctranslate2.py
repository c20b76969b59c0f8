"""A translator that runs on CTranslate2."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer as Backend

from weft.config import TranslatorConfig
from weft.errors import UserError
from weft.families.marian_tokenizer import MarianTokenizer
from weft.generate.config import SearchConfig
from weft.generate.hypothesis import Hypothesis
from weft.interchange.ctranslate2_engine import CTranslate2
from weft.interchange.ctranslate2_import import TOKENIZER, describe_ctranslate2
from weft.pipelines.translator import AnyTranslator, Translation
from weft.runs.folder import verify
from weft.runs.manifest import MANIFEST
from weft.text.tokenizer import Tokenizer

__all__ = ["CTranslate2Translator", "load_ctranslate2"]

# What weft calls a precision, and CTranslate2. By itself it takes the one that the weights were written in.
_PRECISIONS = {"auto": "default", "int8": "int8_float32"}


class CTranslate2Translator(AnyTranslator):
    """A translator but for what looks into the model; `search` of what CTranslate2 lacks is refused by name."""

    def __init__(
        self,
        config: TranslatorConfig,
        *,
        engine: CTranslate2,
        tokenizer: Tokenizer | MarianTokenizer,
        precision: str,
    ) -> None:
        super().__init__(config, tokenizer=tokenizer, precision=precision)
        self.engine = engine

    def inspect(self, text: str, *, out: Path | str, **options: Any) -> Translation:
        raise UserError(
            "CTranslate2 keeps its attention to itself: inspect the model that this one was exported from"
        )

    def _generate(self, sources: list[list[int]], config: SearchConfig) -> list[list[Hypothesis]]:
        return self.engine.translate(sources, config)

    def _cross(self, source: list[int], target: list[int]) -> NDArray[np.float32]:
        return self.engine.attention(source, target)[None, None]


def load_ctranslate2(
    folder: Path, *, task: str | None, device: torch.device, precision: str
) -> CTranslate2Translator:
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
    return CTranslate2Translator(config, engine=engine, tokenizer=tokenizer, precision=engine.precision)
