"""How a model is loaded: the precision that is asked for is the one that it has."""

from pathlib import Path

import pytest
import torch
from torch import nn

import weft
from weft.errors import UserError
from weft.nn.int8 import Int8Linear

LINES = [
    ("ein Hund läuft", "a dog runs"),
    ("zwei Katzen schlafen", "two cats sleep"),
    ("der Hund", "the dog"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("load")
    (folder / "train.tsv").write_text("de\ten\n" + "".join(f"{de}\t{en}\n" for de, en in LINES * 4))
    weft.train(
        "translate",
        train=str(folder / "train.tsv"),
        out=folder / "run",
        steps=2,
        from_language="de",
        to_language="en",
        overrides={"tokenizer.size": 300, "model.width": 16, "model.heads": 2, "model.max_length": 64},
    )
    return folder / "run"


@pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines, reason="needs an x86 processor"
)
def test_in_eight_bits_every_product_is(run: Path) -> None:
    plain, small = (weft.load(run, device="cpu", precision=each) for each in ("float32", "int8"))
    assert (plain.precision, small.precision) == ("float32", "int8")
    assert not any(isinstance(module, Int8Linear) for module in plain.network.model.modules())
    assert not any(isinstance(module, nn.Linear) for module in small.network.model.modules())
    sources = [german for german, _ in LINES]
    scores = [
        [each.score for each in translator.translate(sources, max_length=5)] for translator in (plain, small)
    ]
    assert scores[0] != scores[1]
    assert scores[1] == pytest.approx(scores[0], abs=0.1)


def test_a_narrow_model_stays_as_it_was_trained(run: Path) -> None:
    translator = weft.load(run, device="cpu")
    assert translator.precision == "float32"
    assert translator.evaluate(str(run.parent / "train.tsv"), beams=1).precision == "float32"


def test_bfloat16_when_asked_for(run: Path) -> None:
    translator = weft.load(run, device="cpu", precision="bfloat16")
    assert {weight.dtype for weight in translator.network.model.parameters()} == {torch.bfloat16}
    assert translator.translate("der Hund", max_length=5).score < 0


def test_an_unknown_precision_is_named_with_its_nearest(run: Path) -> None:
    with pytest.raises(UserError, match=r'no precision "int9" \(did you mean "int8"\?\)'):
        weft.load(run, precision="int9")
