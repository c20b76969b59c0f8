"""A Marian model's whole way: from Hugging Face's folder into weft, in use there, and back again."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft
from weft.api import export_model, import_model

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses:UserWarning")

transformers = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")

LINES = [
    f"{a} {b} {c}"
    for a in ("ein", "kein", "mein")
    for b in ("Hund", "Haus", "Ball")
    for c in ("rennt", "ruht", "fehlt")
]


def hugging_face_folder(folder: Path, make_marian: Callable[..., Any]) -> Path:
    """A tiny random Marian model, whose SentencePiece models are trained here."""
    folder.mkdir()
    (folder / "text").write_text("\n".join(LINES * 5))
    for name in ("source", "target"):
        sentencepiece.SentencePieceTrainer.train(
            input=str(folder / "text"), model_prefix=str(folder / name), vocab_size=20, minloglevel=2
        )
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
        (folder / f"{name}.vocab").unlink()
    (folder / "text").unlink()
    pieces = sentencepiece.SentencePieceProcessor(str(folder / "source.spm"))
    words = ["</s>", "<unk>", *(pieces.id_to_piece(i) for i in range(3, len(pieces))), "<pad>"]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer_files = {"source_spm": folder / "source.spm", "target_spm": folder / "target.spm"}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = transformers.MarianTokenizer(
        vocab=str(folder / "vocab.json"),
        source_lang="de",
        target_lang="de",
        **{name: str(path) for name, path in tokenizer_files.items()},
    )
    tokenizer.save_pretrained(folder)
    pad = vocabulary["<pad>"]
    special = {
        "pad_token_id": pad,
        "decoder_start_token_id": pad,
        "eos_token_id": 0,
        "forced_eos_token_id": 0,
    }
    model = make_marian(sharp=5.0, vocab_size=len(words), **special)
    model.generation_config.bad_words_ids = [[pad]]
    model.generation_config.num_beams = 3
    model.generation_config.max_length = 12
    model.save_pretrained(folder)
    return folder


def translations(folder: Path) -> list[str]:
    model = transformers.MarianMTModel.from_pretrained(folder).eval()
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    found = []
    for line in LINES:
        output = model.generate(**tokenizer(line, return_tensors="pt"))
        found.append(tokenizer.decode(output[0], skip_special_tokens=True))
    return found


def test_there_and_back(tmp_path: Path, make_marian: Callable[..., Any]) -> None:
    theirs = hugging_face_folder(tmp_path / "theirs", make_marian)
    expected = translations(theirs)
    assert len(set(expected)) > 5
    import_model(theirs, out=tmp_path / "ours")
    ours = weft.load(tmp_path / "ours", precision="float32")
    assert [found.text for found in ours.translate(LINES)] == expected
    export_model(tmp_path / "ours", out=tmp_path / "back")
    assert translations(tmp_path / "back") == expected
