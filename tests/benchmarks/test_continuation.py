"""Both sides learn on from the same folder with the same numbers, and write one that weft loads."""

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("tensorflow")
pytest.importorskip("transformers")

from benchmarks import continuation

import weft
from weft.config import ModelConfig, TranslatorConfig
from weft.models.seq2seq import Seq2Seq
from weft.runs.folder import write_folder
from weft.runs.tensors import MODEL, save_tensors
from weft.text.training import train_tokenizer

keras = pytest.importorskip("weft.keras")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["ein Hund läuft", "a dog runs"], kind="bpe", size=40)
    shape = {"vocabulary": tokenizer.vocab_size, "width": 32, "heads": 4, "feed_forward": 48}
    model = Seq2Seq(ModelConfig(**shape, encoder_layers=1, decoder_layers=1))
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save(tmp_path / "tokenizer")
    described = TranslatorConfig(directions=(("de", "en"),), tags=False, model=model.config)
    files: dict[str, Any] = {path.name: path.read_bytes() for path in (tmp_path / "tokenizer").iterdir()}
    files["config.json"] = described.model_dump_json().encode()
    files[MODEL] = lambda path: save_tensors(path, tensors=dict(model.state_dict()))
    write_folder(tmp_path / "run", kind="translate", files=files)
    return tmp_path / "run"


def test_both_sides_take_the_same_step(run: Path, tmp_path: Path) -> None:
    before = weft.load(run, precision="float32").network.model
    texts = [[5, 6, 7], [8, 9, 10, 11], [12]]
    for name, learn in (("tensorflow", continuation._in_tensorflow), ("pytorch", continuation._in_pytorch)):
        pairs = keras.pair_batches(
            [[*text, 2] for text in texts], texts, special=before.config.special, batch_tokens=512
        )
        assert learn(run, pairs, seconds=0.0, out=tmp_path / name) == 1
    one, other = (
        weft.load(tmp_path / name, precision="float32").network.model for name in ("tensorflow", "pytorch")
    )
    start, found, expected = (
        torch.cat([weight.flatten() for weight in model.state_dict().values()])
        for model in (before, one, other)
    )
    step = (expected - start).norm()  # where a gradient is all but zero, Adam's first step is of its rounding
    assert step > 0 and (found - expected).norm() < 0.05 * step
