"""Classifiers and taggers in use read what they read in training, and no more at once."""

from typing import Any

import pytest
import torch

from weft.config import ClassifierConfig, ModelConfig, TaggerConfig
from weft.models.encoder import Encoder
from weft.pipelines.classifier import Classifier
from weft.pipelines.tagger import Tagger
from weft.tasks.reading import Reader
from weft.text.training import train_tokenizer

WORDS = ["dog", "cat", "house", "runs", "the"]
LONG = " ".join(["dog"] * 20)


def reader(kind: Any, config: Any, *, heads: tuple[str, ...], length: int | None, maximum: int = 40) -> Any:
    """Random weights."""
    tokenizer = train_tokenizer([" ".join(WORDS)], kind="words", size=20)
    shape = {"width": 16, "heads": 2, "feed_forward": 16, "encoder_layers": 1, "max_length": maximum}
    model = ModelConfig.model_validate(
        {"architecture": "encoder", "vocabulary": tokenizer.vocab_size, **shape}
    )
    described = config(model=model, heads=heads, labels=("O", "B-PER"), pooling="mean", length=length)
    torch.manual_seed(0)
    encoder = Encoder(model, heads=heads, labels=2, pooling="mean")
    return kind(described, network=Reader(encoder), tokenizer=tokenizer)


def test_a_classifier_reads_as_much_as_in_training(tmp_path: Any) -> None:
    it = reader(Classifier, ClassifierConfig, heads=("pooler", "classify"), length=10)
    cut, other = it.classify([f"{LONG} cat", f"{LONG} house house"])
    assert cut.truncated and cut == other
    assert it.classify(" ".join(["dog"] * 8)).probabilities == pytest.approx(cut.probabilities, abs=1e-6)
    assert not it.classify("dog cat").truncated
    (tmp_path / "a.tsv").write_text(f"label\ttext\nO\t{LONG}\nO\tdog\n")
    assert it.evaluate(tmp_path / "a.tsv").truncated == 1


@pytest.mark.parametrize(("length", "maximum"), [(None, 40), (100, 40)])
def test_a_classifier_that_does_not_say_reads_what_its_model_takes(length: int | None, maximum: int) -> None:
    it = reader(Classifier, ClassifierConfig, heads=("pooler", "classify"), length=length, maximum=maximum)
    assert not it.classify(" ".join(["dog"] * (maximum - 2))).truncated
    assert it.classify(" ".join(["dog"] * (maximum - 1))).truncated


@pytest.mark.parametrize(("length", "longest"), [(10, 10), (300, 300), (None, 256)])
def test_a_tagger_reads_windows_as_in_training(length: int | None, longest: int) -> None:
    it = reader(Tagger, TaggerConfig, heads=("tag",), length=length, maximum=512)
    widths: list[int] = []
    it.network.model.register_forward_pre_hook(
        lambda model, given, named: widths.extend(width for _, width in named["mask"].runs), with_kwargs=True
    )
    it.tag(" ".join(["dog"] * 700))
    assert max(widths) == longest
