"""Encoders looked into: the answer, what it rests on, and all attention, on one page that needs nothing else."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weft.config import (
    AnswererConfig,
    ClassifierConfig,
    EncoderConfig,
    FillerConfig,
    ModelConfig,
    TaggerConfig,
)
from weft.errors import UserError
from weft.inspect.maps import self_attention
from weft.inspect.readers import Inspected
from weft.models.encoder import Encoder
from weft.nn import listen
from weft.pipelines.answerer import Answerer
from weft.pipelines.classifier import Classifier
from weft.pipelines.embedder import Embedder
from weft.pipelines.filler import Filler
from weft.pipelines.tagger import Tagger
from weft.tasks.ngram_training import fit_ngrams
from weft.tasks.reading import Reader
from weft.text.encode import read_texts
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

WORDS = "Anna Bert lives in Oslo and likes fine red wine 日本 Straße don't 💡"
LABELS = ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
TEXT = "Anna  likes fine wine\n(don't \N{ELECTRIC LIGHT BULB} 日本) in Oslo."


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([WORDS, WORDS.replace(" ", "")], kind="bpe", size=300, special=["<mask>"])


def shape(tokenizer: Tokenizer, **fields: object) -> ModelConfig:
    names = {
        "architecture": "encoder",
        "position": "rotary",
        "norm": "rms",
        "query_key_norm": True,
        "segments": 2,
    }
    sizes = {
        "width": 32,
        "heads": 4,
        "feed_forward": 64,
        "encoder_layers": 3,
        "vocabulary": tokenizer.vocab_size,
    }
    special = {"mask": tokenizer.mask_id}
    return ModelConfig.model_validate({**names, **sizes, "max_length": 96, "special": special, **fields})


def make_encoder(model: ModelConfig, heads: tuple[Any, ...], *, labels: int) -> Encoder:
    """Random weights that give answers that differ."""
    torch.manual_seed(1)
    encoder = Encoder(model, heads=heads, labels=labels, pooling="mean").eval()
    torch.nn.init.normal_(encoder.heads[heads[-1]].output.weight, std=0.5)  # type: ignore[union-attr]
    return encoder


def classifier(tokenizer: Tokenizer, **changes: Any) -> Classifier:
    model, heads = shape(tokenizer), ("pooler", "classify")
    config = ClassifierConfig(model=model, heads=heads, labels=("bad", "fine", "so-so"), **changes)
    encoder = make_encoder(model, heads, labels=3)
    return Classifier(config, network=Reader(encoder), tokenizer=tokenizer)


def tagger(tokenizer: Tokenizer, **fields: object) -> Tagger:
    model = shape(tokenizer, **fields)
    config = TaggerConfig(model=model, heads=("tag",), labels=LABELS)
    return Tagger(config, network=Reader(make_encoder(model, ("tag",), labels=5)), tokenizer=tokenizer)


def answerer(tokenizer: Tokenizer, **changes: Any) -> Answerer:
    model = shape(tokenizer)
    config = AnswererConfig(model=model, heads=("answer",), length=80, stride=16, **changes)
    return Answerer(config, network=Reader(make_encoder(model, ("answer",), labels=0)), tokenizer=tokenizer)


def data_of(path: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', path.read_text("utf-8"))
    assert found is not None
    (group,) = json.loads(found[1])["groups"]
    return group


def weights_of(group: dict[str, Any]) -> np.ndarray:
    bits = np.unpackbits(np.frombuffer(base64.b64decode(group["weights"]), np.uint8), bitorder="little")
    size = (group["layers"], group["heads"], len(group["rows"]), len(group["columns"]))
    return (bits.reshape(-1, 12)[: np.prod(size)] @ (1 << np.arange(12)) / 4095).reshape(size)


def check(found: Inspected, path: Path, texts: list[str]) -> None:
    """The sum is right, the marks tell it all, and the page asks nobody for anything."""
    assert found.attribution is not None and found.attribution.complete
    difference = found.attribution.value - found.attribution.baseline
    total = sum(mark.score for marks in found.marks for mark in marks)
    assert total == pytest.approx(difference, rel=0.01)
    content = path.read_text("utf-8")
    assert set(re.findall(r"\w+://[^\s\"'<]*", content)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"\b(src|href|srcset)\s*=|url\(|@import|fetch\(|XMLHttpRequest|import\(", content)
    assert content.count(' title="') == sum(map(len, found.marks))
    assert len(found.marks) == len(texts)
    assert f"{abs(found.attribution.residual / difference):.2%}" in content


@pytest.mark.parametrize("kind", ["single", "multiple"])
def test_a_classification(tokenizer: Tokenizer, tmp_path: Path, kind: str) -> None:
    model, page = classifier(tokenizer, kind=kind, temperature=2.0, vote=1.5), tmp_path / "page.html"
    alone = model.classify(TEXT)
    model.ngrams = fit_ngrams([TEXT, "dogs", "cats"], np.eye(3, dtype=np.float32))
    found = model.inspect(TEXT, out=page)
    assert found.answer.probabilities["bad"] > alone.probabilities["bad"]
    check(found, page, [TEXT])
    assert found.answer == model.classify(TEXT)
    best = max(found.answer.probabilities, key=lambda label: found.answer.probabilities[label])
    share = found.answer.probabilities[best]
    assert found.name == f"log-odds of {best}"
    assert found.attribution.value == pytest.approx(np.log(share / (1 - share)), abs=1e-4)
    other = model.inspect(TEXT, out=page, label="so-so")
    share = found.answer.probabilities["so-so"]
    assert other.attribution.value == pytest.approx(np.log(share / (1 - share)), abs=1e-4)
    assert "raises" in page.read_text("utf-8") and "log-odds of so-so" in page.read_text("utf-8")


def test_the_page_holds_every_weight(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, page = classifier(tokenizer), tmp_path / "page.html"
    model.inspect(TEXT, out=page)
    (read,) = read_texts(tokenizer, [TEXT], maximum=96, cut=False)
    with torch.inference_mode(), listen(model.network.model) as heard:
        model.network.model(torch.tensor([read.ids]), segments=torch.tensor([read.segments]))
    expected = np.stack(
        [heard[f"encoder.blocks.{layer}.attention.weights"][0][0].numpy() for layer in range(3)]
    )
    np.testing.assert_array_equal(
        self_attention(model.network.model, read.ids, segments=read.segments), expected
    )
    group = data_of(page)
    assert group["name"] == "self" and not group["causal"]
    assert len(group["rows"]) == len(read.ids) and group["rows"] == group["columns"]
    np.testing.assert_allclose(weights_of(group), expected, atol=1.3e-4)
    assert np.ptp(expected) > 0.05  # the weights say something
    with pytest.raises(ValueError, match="nothing to look at"):
        self_attention(model.network.model, [], segments=[])


def test_a_pair_has_marks_on_both_texts(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, page = classifier(tokenizer, pair=True), tmp_path / "page.html"
    found = model.inspect("Anna likes wine", pair=TEXT, out=page)
    check(found, page, ["Anna likes wine", TEXT])
    assert found.marks[1][0].begin == 0 and found.marks[1][-1].end == len(TEXT)
    with pytest.raises(UserError, match="the model reads pairs: 1 second texts are needed, not none"):
        model.inspect(TEXT, out=page)


def test_a_number(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, page = classifier(tokenizer, kind="number", mean=3.0, deviation=2.0), tmp_path / "page.html"
    found = model.inspect(TEXT, out=page)
    check(found, page, [TEXT])
    assert found.attribution.value == pytest.approx(found.answer.number, abs=1e-4)


def test_what_cannot_be_looked_into(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, page = classifier(tokenizer), tmp_path / "page.html"
    with pytest.raises(
        UserError, match=r'no label "fin" \(did you mean "fine"\?\) \(known: bad, fine, so-so\)'
    ):
        model.inspect(TEXT, out=page, label="fin")
    with pytest.raises(UserError, match="is blank"):
        model.inspect(" ", out=page)
    with pytest.raises(UserError, match="a text is wanted, not of type list"):
        model.inspect([TEXT], out=page)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="blank"):
        tagger(tokenizer).inspect(" ", out=page)
    with pytest.raises(UserError, match="the question of number 0, counted from 0, is blank"):
        answerer(tokenizer).inspect(TEXT, question=" ", out=page)
    assert not page.exists()


def test_a_text_too_long_is_read_as_far_as_it_goes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, page = classifier(tokenizer), tmp_path / "page.html"
    found = model.inspect(TEXT * 20, out=page)
    assert found.answer.truncated and len(data_of(page)["rows"]) == 96
    assert "the first 96 tokens alone" in page.read_text("utf-8")
    assert found.marks[0][-1].end < len(TEXT * 20)


def test_an_entity(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, page = tagger(tokenizer), tmp_path / "page.html"
    entities = model.tag(TEXT)
    assert len(entities) > 1
    for number in (None, len(entities)):
        found = model.inspect(TEXT, out=page, entity=number)
        check(found, page, [TEXT])
        chosen = entities[(number or 1) - 1]
        assert found.answer == entities
        assert found.name == f"log-odds of {chosen.label} for {chosen.text}"
        shaded = re.search(r"<mark>(.*?)</mark>", page.read_text("utf-8"))
        assert shaded is not None and re.sub(r"<[^<>]*>", "", shaded[1]) == chosen.text.replace("'", "&#x27;")
    for mark in found.marks[0]:  # in the text as it was written, with its spaces
        if mark.token.isascii() and "<" not in mark.token:
            assert TEXT[mark.begin : mark.end] == mark.token.removeprefix("▁")
    with pytest.raises(UserError, match=f"no entity {len(entities) + 1}: the model finds {len(entities)}"):
        model.inspect(TEXT, out=page, entity=len(entities) + 1)


def test_an_entity_far_into_a_long_text(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, page = tagger(tokenizer, max_length=24), tmp_path / "page.html"
    text = TEXT * 6
    last = len(model.tag(text))
    found = model.inspect(text, out=page, entity=last)
    assert len(data_of(page)["rows"]) <= 24
    entity = found.answer[-1]
    assert any(mark.begin <= entity.start < mark.end for mark in found.marks[0])


def test_a_text_without_entities_shows_attention_alone(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, page = tagger(tokenizer), tmp_path / "page.html"
    with torch.no_grad():
        model.network.model.heads["tag"].output.bias[0] = 1000.0  # type: ignore[union-attr, index]
    found = model.inspect(TEXT, out=page)
    assert found == Inspected([], "Entities: none", "", (), None)
    assert "raises" not in page.read_text("utf-8")
    assert len(data_of(page)["rows"]) > 10
    with pytest.raises(UserError, match="no entity 1: the model finds 0"):
        model.inspect(TEXT, out=page, entity=1)


@pytest.mark.parametrize("copies", [1, 8])
def test_an_answer(tokenizer: Tokenizer, tmp_path: Path, copies: int) -> None:
    model, page, text = answerer(tokenizer), tmp_path / "page.html", TEXT * copies
    found = model.inspect(text, question="Who likes wine?", out=page)
    check(found, page, ["Who likes wine?", text])
    assert found.answer == model.answer("Who likes wine?", text)
    assert found.attribution.value < 0  # the logarithm of a probability
    assert any(mark.begin <= found.answer.start < mark.end for mark in found.marks[1])
    assert ("shown <b>window " in page.read_text("utf-8")) == (copies > 1)


def test_no_answer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, page = answerer(tokenizer, threshold=1000.0), tmp_path / "page.html"
    found = model.inspect(TEXT * 8, question="Who?", out=page)
    check(found, page, ["Who?", TEXT * 8])
    assert not found.answer.found and found.said.startswith("Answer: none in this text (")
    assert "<mark>" not in page.read_text("utf-8").split("</header>")[0]


def test_readers_without_an_answer_show_attention_alone(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, page = shape(tokenizer), tmp_path / "page.html"
    embedder = Embedder(EncoderConfig(model=model), network=Reader(Encoder(model)), tokenizer=tokenizer)
    assert embedder.inspect(TEXT, out=page) == Inspected(None, "", "", (), None)
    assert len(data_of(page)["rows"]) == len(tokenizer.encode([TEXT])[0]) + 2
    with pytest.raises(UserError, match="longer than the 96 tokens"):
        embedder.inspect(TEXT * 20, out=page)
    config = FillerConfig(model=model, heads=("masked",))
    filler = Filler(config, network=Reader(Encoder(model, heads=("masked",))), tokenizer=tokenizer)
    found = filler.inspect("Anna likes [MASK] wine", out=page)
    assert found.answer == filler.fill("Anna likes [MASK] wine")
    assert re.fullmatch(r"Filled in: .* \(\d+\.\d%\)", found.said)
    assert "<mask>" in data_of(page)["rows"]
