"""Transformer-XL as a language model: it reads on from step to step, and what it remembers outlives a stop."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import weft
from weft.data.batches import Lanes
from weft.errors import UserError
from weft.models.transformer_xl import TransformerXL
from weft.runs.tensors import read_tensors
from weft.tasks import recurrent
from weft.tasks.perplexity import segment_losses
from weft.tasks.recurrent import RecurrentLanguageModel

SMALL = {
    "tokenizer.kind": "characters",
    "language.length": 16,
    "model.width": 32,
    "model.heads": 2,
    "model.feed_forward": 64,
    "model.decoder_layers": 2,
    "model.recurrence.memory": 16,
    "train.batch_tokens": 128,
    "train.warmup": 5,
    "train.validations": 3,
    "train.precision": "float32",
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    lines = [f"The cat number {number} sat on the mat.\n" for number in range(120)]
    (tmp_path / "book.txt").write_text("".join(lines))
    return tmp_path / "book.txt"


def train(book: Path, out: Path, **options: Any) -> None:
    overrides = SMALL | options.pop("overrides", {})
    weft.train("language-model", train=book, out=out, preset="recurrent-tiny", overrides=overrides, **options)


def test_lanes_follow_each_other() -> None:
    lanes = Lanes(10, count=3)
    steps = [lanes.batch(step).tolist() for step in range(7)]
    assert steps == [[0, 3, 6], [1, 4, 7], [2, 5, 8], [3, 6, 9], [0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert Lanes(2, count=5).batch(1).tolist() == [0, 1]
    for rows in range(1, 40):
        for count in range(1, 9):
            lanes = Lanes(rows, count=count)
            read = {int(row) for step in range(lanes.length) for row in lanes.batch(step)}
            assert read == set(range(rows))


def test_it_learns_and_writes_on(book: Path, tmp_path: Path) -> None:
    train(book, tmp_path / "run", steps=150, overrides={"model.ngrams.longest": 1})
    model = weft.load(tmp_path / "run")
    written = model.generate("The cat number", tokens=300)
    assert len(written.tokens) == 300  # more than any row, and than it remembers
    assert written.text.count("sat on the mat.\nThe cat number") > 3
    found = model.evaluate(book)
    assert found.context == 16
    assert found.loss < 1
    assert model.evaluate(book, memory=2).loss > found.loss
    (ids,) = model._texts([*book.read_text().splitlines(keepends=True), ""])  # the end of a file ends a text
    expected = segment_losses(model.model, torch.tensor(ids), length=16)
    assert model.evaluate(book).perplexity == pytest.approx(float(expected.double().mean().exp()), rel=1e-4)


@pytest.mark.parametrize(("accumulate", "pointer"), [(1, 0), (2, 24)])
def test_the_memory_outlives_a_stop(
    book: Path, tmp_path: Path, accumulate: int, pointer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"train.accumulate": accumulate, "model.recurrence.pointer": pointer}
    monkeypatch.setattr(recurrent, "COLD", 0.3)
    train(book, tmp_path / "whole", steps=20, overrides=options)

    class Stop:
        """At the second validation: the first one is in a checkpoint."""

        validations = 0

        def __getattr__(self, name: str) -> Any:
            return self._validation if name == "validation" else lambda *_, **__: None

        def _validation(self, *_: Any) -> None:
            self.validations += 1
            if self.validations == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(book, tmp_path / "parts", steps=20, overrides=options, report=Stop())
    carried: list[int] = []
    forward = TransformerXL.forward

    def listening(self: TransformerXL, ids: Any, memory: Any = None, **rest: Any) -> Any:
        if self.training:
            carried.append(0 if memory is None else memory.length)
        return forward(self, ids, memory, **rest)

    monkeypatch.setattr(TransformerXL, "forward", listening)
    weft.resume(tmp_path / "parts")
    assert 16 in carried[:3]
    whole, parts = (read_tensors(tmp_path / name) for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_memory_of_another_version_is_told() -> None:
    task = RecurrentLanguageModel.__new__(RecurrentLanguageModel)
    with pytest.raises(UserError, match="of another version of weft: begin the run anew"):
        task.load_state({"0.rows": torch.tensor([1, 0]), "0.layers.0": torch.zeros(1, 3, 4)})


def test_each_step_remembers_its_own_lanes(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts or not, a step has the same memory and so the same weights, but for rounding; each pass begins anew."""
    lengths: list[int] = []
    forward = TransformerXL.forward

    def listening(self: TransformerXL, ids: Any, memory: Any = None, **rest: Any) -> Any:
        if self.training:
            lengths.append(0 if memory is None else memory.length)
        return forward(self, ids, memory, **rest)

    monkeypatch.setattr(TransformerXL, "forward", listening)
    monkeypatch.setattr(recurrent, "COLD", 0.0)
    train(book, tmp_path / "one", steps=60, overrides={"train.average": 0.0})
    (segments,) = {
        later - now for now, later in pairwise([at for at, many in enumerate(lengths) if not many])
    }
    assert 20 < segments < 60
    assert set(lengths) == {0, 16}
    train(book, tmp_path / "two", steps=60, overrides={"train.average": 0.0, "train.accumulate": 2})
    one, two = (read_tensors(tmp_path / name) for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(one[name], two[name], atol=2e-3, rtol=2e-2)


def test_now_and_then_nothing_is_remembered_but_all_is_kept(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[tuple[int, int]] = []
    after = TransformerXL.after

    def listening(self: TransformerXL, memory: Any, segment: Any) -> Any:
        found = after(self, memory, segment)
        lengths.append((memory.length, segment.length))
        assert found.length == 16 and found.past.keys.shape[1] == min(24, memory.past.keys.shape[1]) + 16
        return found

    monkeypatch.setattr(TransformerXL, "after", listening)
    train(book, tmp_path / "run", steps=60, overrides={"model.recurrence.pointer": 24})
    assert 1 <= len(lengths) <= 15
    assert set(lengths) == {(16, 16)}


@pytest.mark.parametrize("pointer", [0, 12])
@pytest.mark.parametrize("search", [{}, {"beams": 3}, {"seed": 3, "top_k": 8}, {"contrast": 0.5}])
def test_prompts_together_equal_prompts_alone(
    book: Path, tmp_path: Path, search: dict[str, Any], pointer: int
) -> None:
    train(book, tmp_path / "run", steps=20, overrides={"model.recurrence.pointer": pointer})
    model = weft.load(tmp_path / "run")
    prompts = ["The cat", "The dog number 7 sat", "A mat", "The cow", "x" * 40]
    together = model.generate(prompts, tokens=20, **search)
    assert [each.text for each in together] == [
        model.generate(each, tokens=20, **search).text for each in prompts
    ]


def test_a_checkpoint_goes_on_and_comes_back_from_hugging_face(book: Path, tmp_path: Path) -> None:
    paper = {"model.adaptive.cutoffs": [10, 20]}
    small = {"model.width": 16, "model.decoder_layers": 1, "model.heads": 2, "model.feed_forward": 32}
    overrides = {**SMALL, **paper, **small}
    weft.train(
        "language-model",
        train=book,
        out=tmp_path / "run",
        steps=2,
        preset="transformer-xl-base",
        overrides=overrides,
    )
    weft.export_model(tmp_path / "run", out=tmp_path / "theirs")
    weft.import_model(tmp_path / "theirs", out=tmp_path / "back")
    ours, back = (read_tensors(tmp_path / name) for name in ("run", "back"))
    assert all(torch.equal(ours[name], back[name]) for name in ours)
    options = {name: SMALL[name] for name in ("language.length", "train.batch_tokens")}
    weft.train(
        "language-model",
        train=book,
        out=tmp_path / "on",
        steps=2,
        from_checkpoint=tmp_path / "back",
        overrides=options,
    )
    assert weft.load(tmp_path / "on").generate("The", tokens=5).tokens


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"language.texts": "apart"}, "remembers from segment to segment"),
        ({"model.recurrence.memory": 0}, "recurrence.memory"),
        ({"train.smoothing": 0.1}, "train.smoothing: a Transformer-XL is trained without"),
    ],
)
def test_wrong_settings(book: Path, tmp_path: Path, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(book, tmp_path / "run", steps=1, overrides=overrides)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"stride": 4}, "stride: a Transformer-XL remembers"), ({"memory": 0}, "memory 0: one position")],
)
def test_wrong_measuring(book: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    train(book, tmp_path / "run", steps=1)
    with pytest.raises(UserError, match=message):
        weft.load(tmp_path / "run").evaluate(book, **options)
