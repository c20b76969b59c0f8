"""The losses of translation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import weft
from weft.config import ModelConfig, SpecialTokens, TranslateConfig
from weft.data.sources import Report, complete, open_sources
from weft.data.store import build_store
from weft.models.seq2seq import Seq2Seq
from weft.tasks.directions import Direction
from weft.tasks.masking import MASK, MASK_RATE
from weft.tasks.translate import PairTable, Translate
from weft.text.tokenizer import Tokenizer
from weft.text.training import train_tokenizer

LINES = [f"{'ab' * (number % 3 + 1)} c{number % 7} d{number % 5}" for number in range(200)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(LINES, kind="words", special=[MASK])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> PairTable:
    folder = tmp_path_factory.mktemp("pairs")
    for language in ("de", "en"):
        (folder / f"train.{language}").write_text("".join(f"{line}\n" for line in LINES))
    sources = open_sources([f"{folder}/train.{{de,en}}"], columns=None, fields=None, parallel=True)
    report = Report()
    store = build_store(
        folder / "store",
        complete(sources, report=report),
        fields=sources.fields,
        encode=tokenizer.encode,
        vocab_size=tokenizer.vocab_size,
        fingerprint="here",
        report=report,
    )
    return PairTable(store, [Direction("de", "en")], tags={}, max_tokens=100)


def translate(table: PairTable, tokenizer: Tokenizer, *, masked: float) -> Translate:
    return Translate(table, None, tokenizer=tokenizer, special=SpecialTokens(), smoothing=0.1, masked=masked)


def model_for(tokenizer: Tokenizer) -> Seq2Seq:
    torch.manual_seed(0)
    return Seq2Seq(
        ModelConfig(
            vocabulary=tokenizer.vocab_size,
            width=16,
            encoder_layers=1,
            decoder_layers=1,
            heads=2,
            feed_forward=32,
        )
    )


def test_masked_language_modelling_is_a_second_loss_of_its_weight(
    table: PairTable, tokenizer: Tokenizer
) -> None:
    model = model_for(tokenizer)
    rows = np.arange(100)
    found = {}
    for weight in (0.5, 1.0):
        task = translate(table, tokenizer, masked=weight)
        assert task.mask_id is not None
        batch = task.collate(rows)
        torch.manual_seed(1)
        losses = task.loss(model.train(), batch)
        assert set(losses) == set(task.count(batch)) == {"translation", "masked"}
        pieces = int((batch["source"] > task.mask_id).sum())
        assert task.count(batch)["masked"] == round(MASK_RATE * pieces)
        assert abs(losses["masked"].count - MASK_RATE * pieces) < 3 * (MASK_RATE * pieces) ** 0.5
        found[weight] = losses["masked"].total
    torch.testing.assert_close(2 * found[0.5], found[1.0])
    assert set(task.loss(model.eval(), batch)) == {"translation"}


def test_without_it_there_is_one_loss(table: PairTable, tokenizer: Tokenizer) -> None:
    task = translate(table, tokenizer, masked=0.0)
    batch = task.collate(np.arange(10))
    losses = task.loss(model_for(tokenizer).train(), batch)
    assert {name: loss.count for name, loss in losses.items()} == task.count(batch)
    assert set(losses) == {"translation"}


def test_a_run_with_a_mask(tmp_path: Path) -> None:
    for language in ("de", "en"):
        (tmp_path / f"train.{language}").write_text("".join(f"{line}\n" for line in LINES))
    weft.train(
        train=f"{tmp_path}/train.{{de,en}}",
        from_language="de",
        to_language="en",
        out=tmp_path / "run",
        steps=3,
        overrides={
            "translate.masked": 0.5,
            "tokenizer.kind": "words",
            "model.width": 16,
            "train.batch_tokens": 128,
        },
    )
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["translate"] == TranslateConfig(from_language="de", to_language="en", masked=0.5).model_dump()
    assert weft.load(tmp_path / "run").tokenizer.token_id(MASK) is not None


def test_held_out_pairs_are_a_spread_of_at_most_so_many(
    table: PairTable, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.texts = {"de": LINES, "en": LINES}
    task = Translate(table, table, tokenizer=tokenizer, special=SpecialTokens(), smoothing=0.1)
    assert task.held_out == len(LINES)
    monkeypatch.setattr("weft.tasks.translate.HELD_OUT", 50)
    assert task.held_out == 50
    measured: list[int] = []
    collate, scores = task._collate, task.scores
    monkeypatch.setattr(task, "_collate", lambda table, rows: measured.extend(rows) or collate(table, rows))
    scored: list[int] = []
    monkeypatch.setattr(
        task, "scores", lambda model, table, rows: scored.extend(rows) or scores(model, table, rows)
    )
    model = model_for(tokenizer)
    found = task.validate(model, scored=0)
    assert found is not None
    assert found.scores == {}
    assert len(set(measured)) == 50
    assert {0, 199} <= set(measured)
    found = task.validate(model, scored=3)
    assert found is not None
    assert found.scores.keys() == {"bleu"}
    assert (scored[0], scored[-1], len(scored)) == (0, 199, 3)
    assert set(scored) <= set(measured)
