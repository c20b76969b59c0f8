"""The table in docs/interchange.md says what works: each model is made small and sent to each form."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weft.config import (
    AnswererConfig,
    ClassifierConfig,
    EncoderConfig,
    FillerConfig,
    FolderConfig,
    GeneratorConfig,
    ModelConfig,
    SummarizerConfig,
    TaggerConfig,
    TranslatorConfig,
)
from weft.errors import UserError
from weft.families import export_folder
from weft.interchange.ctranslate2_export import export_ctranslate2
from weft.interchange.onnx_export import export_onnx
from weft.recipes import preset
from weft.saved import make_model

pytest.importorskip("ctranslate2")
pytest.importorskip("onnx")
pytest.importorskip("tensorflow")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
keras = pytest.importorskip("weft.keras")
savedmodel = pytest.importorskip("weft.keras.savedmodel")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "interchange.md"
SMALL: dict[str, Any] = {"vocabulary": 40, "width": 32, "heads": 2, "feed_forward": 64}
FORMS = ("Hugging Face", "Keras", "SavedModel", "CTranslate2", "ONNX")


def small(name: str, architecture: str, task: str, **fields: Any) -> ModelConfig:
    """A preset's design at a small size."""
    design = dict(preset(name, architecture=architecture, task=task)["model"])
    kin = "decoder" if architecture in ("decoder", "transformer-xl") else architecture
    layers = {f"{side}_layers": 1 if kin in ("seq2seq", side) else 0 for side in ("encoder", "decoder")}
    return ModelConfig.model_validate(design | SMALL | layers | fields)


def translator(model: ModelConfig) -> FolderConfig:
    return TranslatorConfig(directions=(("de", "en"),), tags=False, model=model)


def generator(model: ModelConfig) -> FolderConfig:
    return GeneratorConfig(model=model)


LLAMA = {
    "norm": "rms",
    "norm_scale": True,
    "bias": False,
    "activation": "silu",
    "gated": True,
    "position": "rotary",
}
LLAMA |= {"tie": "none", "kv_heads": 1, "scale_embedding": False, "query_key_norm": False, "ngrams": None}

MODELS: dict[str, Callable[[], FolderConfig]] = {
    "the paper's Transformer, `vaswani-base`": lambda: translator(
        small("vaswani-base", "seq2seq", "translate")
    ),
    "the same with Marian's positions": lambda: translator(
        small("vaswani-base", "seq2seq", "translate", position="sinusoidal_halves")
    ),
    "weft's translators": lambda: translator(small("tiny", "seq2seq", "translate")),
    "the same with `model.query_key_norm=false`": lambda: translator(
        small("tiny", "seq2seq", "translate", query_key_norm=False)
    ),
    "weft's summarizers, which copy": lambda: SummarizerConfig(
        length=64, model=small("tiny", "seq2seq", "summarize", pointer=True)
    ),
    "BERT, to fill in words": lambda: FillerConfig(
        heads=("masked",), model=small("bert-base", "encoder", "masked-lm")
    ),
    "BERT, to classify": lambda: ClassifierConfig(
        heads=("pooler", "classify"), labels=("a", "b"), model=small("bert-base", "encoder", "classify")
    ),
    "BERT, to tag words": lambda: TaggerConfig(
        heads=("tag",), labels=("O", "B-PER"), model=small("bert-base", "encoder", "tag")
    ),
    "BERT, to answer questions": lambda: AnswererConfig(
        heads=("answer",), model=small("bert-base", "encoder", "answer")
    ),
    "BERT, for vectors": lambda: EncoderConfig(model=small("bert-base", "encoder", "embed")),
    "RoBERTa, for vectors": lambda: EncoderConfig(model=small("roberta-base", "encoder", "embed")),
    "weft's classifiers": lambda: ClassifierConfig(
        heads=("classify",), labels=("a", "b"), model=small("tiny", "encoder", "classify")
    ),
    "GPT-2": lambda: generator(small("gpt2", "decoder", "language-model")),
    "Llama and its kin": lambda: generator(small("tiny", "decoder", "language-model", **LLAMA)),
    "weft's language models": lambda: generator(small("tiny", "decoder", "language-model")),
    "the same with `model.ngrams.longest=1`": lambda: generator(
        small("tiny", "decoder", "language-model", ngrams=None)
    ),
    "Transformer-XL": lambda: generator(
        small("transformer-xl-base", "decoder", "language-model", adaptive=None, recurrence={"memory": 8})
    ),
}


def sends(folder: FolderConfig, form: str, aside: Path) -> bool:
    """Whether a model with random weights goes there."""
    model = make_model(folder)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    try:
        if form == "Hugging Face":
            export_folder(aside, config=folder, weights=weights, tokenizer={})
        elif form == "Keras":
            keras.make_model(folder.model)
        elif form == "SavedModel":
            return not savedmodel.lacking(folder)
        elif form == "ONNX":
            export_onnx(folder, weights)
        else:
            export_ctranslate2(folder, weights, pieces=["<pad>", "<s>", "</s>", "<unk>"])
    except UserError:
        return False
    return True


def test_the_table_in_the_documents_is_true(tmp_path: Path) -> None:
    rows = [f"| model | {' | '.join(FORMS)} |", f"| --- |{' --- |' * len(FORMS)}"]
    for number, (name, describe) in enumerate(MODELS.items()):
        folder = describe()
        found = [sends(folder, form, tmp_path / f"{number}-{form}") for form in FORMS]
        rows.append(f"| {name} | {' | '.join('yes' if each else '–' for each in found)} |")
    table = "\n".join(rows)
    assert table in PAGE.read_text(encoding="utf-8"), f"docs/interchange.md has another table than\n{table}"
