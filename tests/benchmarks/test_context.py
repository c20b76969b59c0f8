"""The worth of a memory: a row and a mark for each context, of a model that remembers."""

import gzip
from pathlib import Path

import pytest
from benchmarks import context
from benchmarks.report import Options

import weft
from weft.errors import UserError

SMALL = {
    "model.width": 32,
    "model.heads": 2,
    "model.feed_forward": 64,
    "model.decoder_layers": 1,
    "language.length": 16,
    "train.batch_tokens": 64,
}
TEXT = "".join(f"the cat number {number} sat on the mat\n" for number in range(200))


def options(tmp_path: Path, *, preset: str) -> Options:
    (tmp_path / "book.txt").write_text(TEXT)
    (tmp_path / "wikitext-2").mkdir()
    (tmp_path / "wikitext-2" / "test.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    run = tmp_path / "run"
    weft.train(
        "language-model", train=tmp_path / "book.txt", out=run, preset=preset, steps=2, overrides=SMALL
    )
    return Options(data=tmp_path, work=tmp_path / "work", run=run)


def test_a_row_and_a_mark_for_each_context(tmp_path: Path) -> None:
    given = options(tmp_path, preset="recurrent-tiny")
    rows = context.run(given)
    assert [row.what.split()[0] for row in rows] == ["64", "128", "256", "512", "1,024", "2,048"]
    assert len({row.peer_value for row in rows}) == 1 and rows[0].ratio == 1
    assert (given.work / "context.svg").read_text().count("<circle") == 6


def test_others_remember_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a Transformer-XL, which remembers"):
        context.run(options(tmp_path, preset="tiny"))


def test_it_needs_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--run RUN"):
        context.run(Options(data=tmp_path, work=tmp_path))
