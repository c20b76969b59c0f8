"""Pretraining: documents that share a row and do not see each other, tokens that are hidden anew, and what is learned."""

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import weft.api
from weft.cli import main
from weft.config import MaskedRun
from weft.data.packing import FIELD
from weft.errors import UserError
from weft.models.encoder import Encoder
from weft.runs.log import read_log
from weft.runs.tensors import read_tensors
from weft.tasks.masked_lm import MaskedLM, MaskedProblem, _states
from weft.training import loop
from weft.training.report import Result, Silent

WORDS = ["zero", "one", "two", "three", "four", "five", "six"]
MODEL = {
    "architecture": "encoder",
    "vocabulary": 1,
    "width": 32,
    "heads": 2,
    "feed_forward": 48,
    "encoder_layers": 2,
    "position": "rotary",
    "tie": "two",
}
SMALL = {
    "tokenizer.kind": "words",
    "masked.length": 32,
    **{f"model.{name}": MODEL[name] for name in ("width", "heads", "feed_forward", "encoder_layers")},
    "model.dropout": 0.1,
    "train.batch_tokens": 256,
    "train.warmup": 5,
    "train.validations": 3,
    "train.precision": "float32",
}


def count_up(start: int, words: int) -> str:
    return " ".join(WORDS[(start + step) % len(WORDS)] for step in range(words))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents that count up, of two to six lines of three to nine words."""
    chance = np.random.default_rng(0)
    documents = []
    for _ in range(200):
        at, lines = int(chance.integers(7)), []
        for size in chance.integers(3, 10, chance.integers(2, 7)):
            lines.append(count_up(at, int(size)))
            at += int(size)
        documents.append("".join(f"{line}\n" for line in lines))
    path = tmp_path_factory.mktemp("corpus") / "text.txt"
    path.write_text("\n".join(documents))
    return path


def problem_of(path: Path | str, *, model: dict[str, Any] | None = None, **masked: Any) -> MaskedProblem:
    run = {
        "data": {"train": (str(path),)},
        "tokenizer": {"kind": "words"},
        "model": {**MODEL, **(model or {})},
    }
    return MaskedProblem(MaskedRun.model_validate({**run, "masked": {"length": 32, **masked}}))


def make(
    path: Path | str, folder: Path, *, model: dict[str, Any] | None = None, **masked: Any
) -> tuple[MaskedLM, Encoder]:
    """A task, and a model for it that is not trained."""
    problem = problem_of(path, model=model, **masked)
    tokenizer = problem.make_tokenizer()
    task = problem.make_task(folder / "data", tokenizer=tokenizer, begun=False, tell=print)
    torch.manual_seed(0)
    shape = problem.run.model.model_copy(update={"vocabulary": tokenizer.vocab_size})
    return task, problem.make_model(shape).eval()


@pytest.fixture
def begin(corpus: Path) -> Callable[..., Result]:
    def run(out: Path, *, steps: int = 20, report: Any = None, **settings: Any) -> Result:
        overrides = {**SMALL, **{name.replace("__", "."): value for name, value in settings.items()}}
        return weft.api.train(
            "masked-lm", train=corpus, out=out, steps=steps, overrides=overrides, report=report
        )

    return run


SCHEMES = [
    {"position": "rotary"},
    {"position": "rotary", "window": 3, "global_every": 2},
    {"position": "learned", "norm_place": "after", "segments": 2},
    {"position": "sinusoidal"},
    {"position": "alibi"},
    {"position": "t5"},
]


@pytest.mark.parametrize("model", SCHEMES, ids=str)
def test_a_document_is_the_same_alone_and_in_a_row(
    corpus: Path, tmp_path: Path, model: dict[str, Any]
) -> None:
    task, encoder = make(corpus, tmp_path, model=model)
    several = [row for row in range(len(task.train)) if len(task.train.packing.row(row)) > 1][:6]
    short = int(task.lengths[:, 0].argmin())
    batch = task.collate([*several, short])
    assert {"documents", "positions"} <= batch.keys()
    with torch.inference_mode():
        together = _states(encoder, batch)
        compared = 0
        for row, documents in enumerate(batch["documents"]):
            for number in range(1, int(documents.max()) + 1):
                inside = documents == number
                alone = encoder(batch["ids"][row][inside][None])
                torch.testing.assert_close(together[row][inside][None], alone, atol=1e-5, rtol=1e-5)
                compared += 1
    assert compared > 12
    assert len({str(state) for state in together[0, :, 0].tolist()}) > 10


def test_rows_are_full_and_hold_every_token_of_their_documents(corpus: Path, tmp_path: Path) -> None:
    task, _ = make(corpus, tmp_path)
    assert task.lengths.max() == 32
    assert task.lengths.sum() > 0.95 * 32 * len(task.lengths)
    tokenizer = problem_of(corpus).make_tokenizer()
    texts = [" ".join(document.split()) for document in corpus.read_text().split("\n\n")]
    read = []
    for rows in (task.train, task.valid):
        for number in range(len(rows)):
            row = rows[number]
            starts = np.flatnonzero(row.ids == tokenizer.bos_id)
            assert row.positions[starts].tolist() == [0] * len(starts)
            assert row.documents[starts].tolist() == list(range(1, len(starts) + 1))
            pieces = np.split(row.ids, starts[1:])
            assert all(piece[-1] == tokenizer.eos_id for piece in pieces)
            read += tokenizer.decode([piece.tolist() for piece in pieces])
    assert len(task.train) > 20 < task.documents
    assert sorted(" ".join(read).split()) == sorted(" ".join(texts).split())
    whole = [text for text in texts if len(text.split()) <= 30]
    assert set(whole) <= set(read)


def test_a_batch_asks_for_what_was_hidden(corpus: Path, tmp_path: Path) -> None:
    task, encoder = make(corpus, tmp_path)
    rows = [3, 1, 0]
    batch = task.collate(rows)
    plain = np.concatenate([task.train[row].ids for row in rows])
    assert batch["labels"].tolist() == plain[batch["chosen"]].tolist()
    hidden = batch["ids"].flatten()[batch["chosen"]]
    assert (hidden == task.hider.mask_id).float().mean() > 0.5
    untouched = torch.ones(len(plain), dtype=torch.bool)
    untouched[batch["chosen"]] = False
    assert batch["ids"].flatten()[untouched].tolist() == plain[untouched].tolist()
    seen: list[int] = []
    encoder.masked.register_forward_hook(lambda head, given, states: seen.append(len(states)))
    losses = task.loss(encoder, batch)
    assert seen == [len(batch["chosen"])]  # the vocabulary is asked nowhere else
    assert {name: loss.count for name, loss in losses.items()} == task.count(batch)
    logits = encoder.masked.logits(encoder.masked(_states(encoder, batch).flatten(0, 1)[batch["chosen"]]))
    expected = functional.cross_entropy(
        logits, batch["labels"], label_smoothing=task.smoothing, reduction="sum"
    )
    torch.testing.assert_close(losses["masked"].total, expected)


def test_smoothing_and_rate_change_the_loss(corpus: Path, tmp_path: Path) -> None:
    task, encoder = make(corpus, tmp_path)
    batch = task.collate([0, 1])
    plain = task.loss(encoder, batch)["masked"].total
    task.smoothing = 0.0
    assert task.loss(encoder, batch)["masked"].total != plain
    often, _ = make(corpus, tmp_path / "often", rate=0.4)
    words = sum(int((task.train[row].ids > (task.hider.mask_id)).sum()) for row in (0, 1))
    assert task.count(batch)["masked"] == pytest.approx(0.15 * words, abs=1)
    assert often.count(often.collate([0, 1]))["masked"] == pytest.approx(0.4 * words, abs=1)


@pytest.mark.parametrize("fixed", [False, True])
def test_each_step_hides_anew_unless_it_is_fixed(corpus: Path, tmp_path: Path, fixed: bool) -> None:
    task, _ = make(corpus, tmp_path, fixed=fixed)
    found = []
    for seed in (5, 6, 5):
        task.begin_step(seed)
        found.append(task.collate([4, 2]))
        part = task.collate([2])  # whatever else is in the batch
        places = found[-1]["chosen"] - task.lengths[4, 0]
        assert part["chosen"].tolist() == places[places >= 0].tolist()
    assert torch.equal(found[0]["ids"], found[2]["ids"])
    assert torch.equal(found[0]["ids"], found[1]["ids"]) == fixed


def test_the_trainer_tells_the_task_of_each_step(
    tmp_path: Path, begin: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    monkeypatch.setattr(MaskedLM, "begin_step", lambda task, seed: told.append(seed))
    begin(tmp_path / "run", steps=3)
    assert len(set(told)) == 3


class Stop(Silent):
    """Ends a run from outside at a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, step: int, *details: Any, **more: Any) -> None:
        if step == self.at:
            raise InterruptedError


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


@pytest.mark.parametrize("settings", [{}, {"masked__next_sentence": True, "masked__fixed": True}], ids=str)
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    tmp_path: Path,
    begin: Callable[..., Result],
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    left_alone = begin(tmp_path / "alone", **settings)
    with pytest.raises(InterruptedError):
        begin(tmp_path / "stopped", report=Stop(14), **settings)
    resumed = weft.api.resume(tmp_path / "stopped")
    assert weights(tmp_path / "stopped") == weights(tmp_path / "alone")
    assert (resumed.loss, resumed.scores) == (left_alone.loss, left_alone.scores)
    names = {"perplexity", "accuracy"} | ({"next_accuracy"} if settings else set())
    assert resumed.scores.keys() == names


@pytest.mark.parametrize("next_sentence", [False, True])
def test_accumulation_changes_nothing_but_rounding(
    tmp_path: Path, begin: Callable[..., Result], next_sentence: bool
) -> None:
    settings = {"model__dropout": 0.0, "masked__next_sentence": next_sentence, "train__learning_rate": 1e-3}
    begin(tmp_path / "whole", steps=6, **settings)
    begin(tmp_path / "parts", steps=6, train__accumulate=3, **settings)
    ours, theirs = (read_tensors(tmp_path / name / loop.LAST) for name in ("whole", "parts"))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-4, rtol=1e-3)
    losses = [
        [
            line["validation_loss"]
            for line in read_log(tmp_path / name / "metrics.jsonl")
            if "validation_loss" in line
        ]
        for name in ("whole", "parts")
    ]
    assert len(losses[0]) > 1
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.parametrize(
    "fields",
    [
        {"masked__rate": 0.3},
        {"masked__whole_words": True, "tokenizer__kind": "characters"},
        {"masked__next_sentence": True},
        {"masked__length": 16},
        {"hold_out": 0.3},
        {"train__seed": 2},
    ],
    ids=str,
)
def test_every_setting_changes_the_result(
    fields: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, begin: Callable[..., Result]
) -> None:
    tokenizer = {name: value for name, value in fields.items() if name.startswith("tokenizer")}
    plain = tmp_path_factory.getbasetemp() / f"plain-{bool(tokenizer)}"
    if not plain.exists():
        begin(plain, steps=4, **tokenizer)
    out = tmp_path_factory.mktemp("changed") / "run"
    begin(out, steps=4, **fields)
    assert weights(out) != weights(plain)


def test_pairs_have_segments_and_a_loss_of_their_own(corpus: Path, tmp_path: Path) -> None:
    task, encoder = make(corpus, tmp_path, model={"segments": 2}, next_sentence=True)
    assert list(encoder.heads) == ["masked", "pooler", "next"]
    rows = np.arange(len(task.train))
    batch = task.collate(rows)
    assert abs(float(batch["second"].float().mean()) - 0.5) < 0.02
    losses = task.loss(encoder, batch)
    assert {name: loss.count for name, loss in losses.items()} == task.count(batch)
    assert task.count(batch)["next"] == len(rows)
    assert losses["next"].total.item() / len(rows) == pytest.approx(math.log(2), rel=0.2)
    words = problem_of(corpus).make_tokenizer()
    for row in rows.tolist():
        ids, segments = task.train[row].ids, task.train[row].segments
        first, second = words.decode([ids[segments == segment].tolist() for segment in (0, 1)])
        assert len(ids) <= 32
        if batch["second"][row] == 0:  # it counts on
            assert second.split()[0] == count_up(WORDS.index(first.split()[-1]), 2).split()[1]
    with torch.inference_mode():
        other = {**batch, "segments": torch.zeros_like(batch["segments"])}
        assert not torch.allclose(_states(encoder, batch), _states(encoder, other))


def test_validation_is_the_same_each_time(corpus: Path, tmp_path: Path) -> None:
    task, encoder = make(corpus, tmp_path)
    first = task.validate(encoder, scored=task.scored)
    task.begin_step(3)
    assert first == task.validate(encoder, scored=1)
    assert first is not None
    assert first.goal is None
    assert first.scores["perplexity"] == pytest.approx(math.exp(first.loss))
    batch = task._collate(task.valid, task.measured, seed=0)
    with torch.inference_mode():
        states = _states(encoder, batch).flatten(0, 1)[batch["chosen"]]
        logits = encoder.masked.logits(encoder.masked(states))
    right = (logits.argmax(-1) == batch["labels"]).float().mean()
    assert first.scores["accuracy"] == pytest.approx(float(right))
    loss = functional.cross_entropy(logits, batch["labels"])
    assert first.loss == pytest.approx(float(loss), rel=1e-5)


def test_no_more_rows_are_held_out_than_are_measured_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = make(corpus, tmp_path / "one")
    tokens = task.lengths.sum()
    assert 0.05 < task.valid.lengths.sum() / tokens < 0.2
    monkeypatch.setattr("weft.tasks.masked_lm.HELD_OUT", 4)
    few, _ = make(corpus, tmp_path / "two")
    assert few.held_out <= 4
    assert few.lengths.sum() > tokens


def test_one_document_has_its_end_held_out(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("".join(f"{count_up(line, 9)}\n" for line in range(40)))
    task, _ = make(tmp_path / "one.txt", tmp_path)
    assert (task.documents, task.held_out) == (1, 2)
    assert task.valid.packing.pieces.tolist() == [[324, 354], [354, 360]]
    assert task.facts["held out"] == "2 rows, drawn from the training text"
    assert task.place(0) == f"{tmp_path / 'one.txt'}:1"
    assert task.train.packing.row(1)[0, 0] == 30
    assert task.place(1) == f"{tmp_path / 'one.txt'}:4"


def test_a_text_of_its_own_is_held_out(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "valid.txt").write_text(f"{count_up(3, 12)}\n\n{count_up(9, 6)}\n")
    problem = problem_of(corpus)
    run = problem.run.model_dump()
    run["data"]["valid"] = (str(tmp_path / "valid.txt"),)
    problem = MaskedProblem(MaskedRun.model_validate(run))
    tokenizer = problem.make_tokenizer()
    task = problem.make_task(tmp_path / "data", tokenizer=tokenizer, begun=False, tell=print)
    assert (task.documents, len(task.valid)) == (200, 1)
    assert task.valid.packing.pieces.tolist() == [[0, 12], [12, 18]]
    assert task.facts["held out"] == "1 rows"


@pytest.mark.parametrize("name", ["text.jsonl", "text.parquet", "text.tsv", "text.txt.gz"])
def test_documents_in_other_files(tmp_path: Path, name: str) -> None:
    """In a table each text is a document, with lines of its own; empty texts are none."""
    texts = [f"{count_up(0, 6)}\n{count_up(6, 3)}", "", count_up(4, 5), " \n "]
    path = tmp_path / name
    if name == "text.parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pytest.importorskip("pyarrow").table({"text": texts}), path)
    elif name == "text.jsonl":
        path.write_text("".join(json.dumps({"text": text, "id": 3}) + "\n" for text in texts))
    elif name == "text.tsv":
        texts = [text.replace("\n", " ") for text in texts]
        path.write_text("text\n" + "".join(f"{text}\n" for text in texts))
    else:
        path.write_bytes(gzip.compress("\n\n".join(texts).encode()))
    problem = problem_of(path)
    problem.make_task(tmp_path / "data", tokenizer=problem.make_tokenizer(), begun=False, tell=print)
    task, _ = make(path, tmp_path)
    rows = np.concatenate([task.train.packing.pieces, task.valid.packing.pieces])
    assert (task.documents, sorted(rows.tolist())) == (2, [[0, 8], [8, 9], [9, 13], [13, 14]])
    lengths = [size for size in task.train.store.lengths[FIELD].tolist() if size]
    assert lengths == ([9, 5] if name == "text.tsv" else [6, 3, 5])


def test_files_by_a_pattern_are_documents_of_their_own(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(f"{count_up(number, 7)}\n")
    task, _ = make(f"{tmp_path}/*.txt", tmp_path)
    assert task.documents == 3


def test_what_cannot_be_learned_from_is_told(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "blank.txt").write_text("\n \n\t\n")
    with pytest.raises(UserError, match="no text"):
        problem_of(tmp_path / "blank.txt").make_tokenizer()
    (tmp_path / "one.txt").write_text("one two three\nfour five six\n")
    problem = problem_of(tmp_path / "one.txt", next_sentence=True)
    with pytest.raises(UserError, match="one.txt: masked.next_sentence needs two documents"):
        problem.make_task(tmp_path / "data", tokenizer=problem.make_tokenizer(), begun=False, tell=print)
    with pytest.raises(UserError, match="masked.length is 32, and the model takes 16 tokens"):
        problem_of(corpus, model={"max_length": 16})
    (tmp_path / "table.jsonl").write_text('{"body": "one two"}\n')
    with pytest.raises(UserError, match='no column "text", it has "body"'):
        problem_of(tmp_path / "table.jsonl")


def test_a_run_goes_on_with_the_text_it_began_with_alone(tmp_path: Path, corpus: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(corpus.read_text())
    tokenizer = problem_of(path).make_tokenizer()
    before = problem_of(path).make_task(tmp_path / "data", tokenizer=tokenizer, begun=False, tell=print)
    path.write_text(corpus.read_text())  # the same again
    again = problem_of(path).make_task(tmp_path / "data", tokenizer=tokenizer, begun=True, tell=print)
    assert torch.equal(before.collate([1])["ids"], again.collate([1])["ids"])
    path.write_text(corpus.read_text().replace("\n\n", "\n", 1))
    with pytest.raises(UserError, match="text.txt: not the text that this run began with"):
        problem_of(path).make_task(tmp_path / "data", tokenizer=tokenizer, begun=True, tell=print)


@pytest.fixture(scope="module")
def learned(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    settings = {**SMALL, "model.dropout": 0.0, "train.learning_rate": 5e-3, "train.batch_tokens": 512}
    out = tmp_path_factory.mktemp("learned") / "run"
    return out, weft.api.train("masked-lm", train=corpus, out=out, steps=160, overrides=settings)


def test_a_toy_language_is_learned(learned: tuple[Path, Result]) -> None:
    run, result = learned
    assert result.scores["accuracy"] > 0.9
    assert result.scores["perplexity"] < 2
    config = json.loads((run / "config.json").read_text())
    assert (config["task"], config["heads"], config["pooling"]) == ("masked-lm", ["masked"], "mean")
    filler = weft.api.load(run, precision="float32")
    [[best, *others]] = filler.fill("two three four [MASK] six zero one", top=3)
    assert (best.token, best.text) == ("five", "two three four five six zero one")
    assert best.probability > 0.8
    assert len(others) == 2


def test_a_run_begins_with_what_another_has_learned(
    learned: tuple[Path, Result], tmp_path: Path, corpus: Path
) -> None:
    begun = weft.api.train(
        "masked-lm",
        train=corpus,
        out=tmp_path / "more",
        steps=1,
        overrides={"from_checkpoint": str(learned[0]), "masked.length": 32, "masked.next_sentence": True},
    )
    assert begun.scores["accuracy"] > 0.8
    assert (tmp_path / "more" / "tokenizer.json").read_bytes() == (learned[0] / "tokenizer.json").read_bytes()


def test_the_commands(
    learned: tuple[Path, Result], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def weft_(*arguments: str) -> tuple[int, str, str]:
        return main([arguments[0], str(learned[0]), *arguments[1:]]), *capfd.readouterr()

    status, out, _ = weft_("fill", "two three [MASK] five <mask>", "--top", "2")
    lines = out.splitlines()
    assert (status, lines[0], lines[4]) == (0, "mask 1 of 2", "mask 2 of 2")
    assert (lines[1], lines[2].split("\t")[0::2]) == (
        "token\tprobability\ttext",
        ["four", "two three four five <mask>"],
    )
    found = json.loads(weft_("fill", "two three [MASK] five", "--json")[1])
    assert (len(found["masks"][0]), found["masks"][0][0]["token"]) == (5, "four")
    assert weft_("fill", "two") == (
        2,
        "",
        'weft: error: no mask in "two": write [MASK] where a word is to be filled in\n',
    )

    assert weft_("embed", "one two", "one two", "--json")[0] == 0
    [pair] = json.loads(weft_("embed", "one two", "one two", "--json")[1])
    assert pair["similarity"] == pytest.approx(1.0)
    (tmp_path / "lines.txt").write_text("one two\n\nthree\n")
    save = ("embed", "--input", str(tmp_path / "lines.txt"), "--out", str(tmp_path / "vectors.npy"))
    assert weft_(*save)[0] == 0
    vectors = np.load(tmp_path / "vectors.npy")
    filler = weft.api.load(learned[0])
    np.testing.assert_array_equal(vectors, filler.embed(["one two", "", "three"]))
    assert "exists: name another file, or give --overwrite" in weft_(*save)[2]
    assert weft_(*save, "--overwrite")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lines.txt", "vectors.npy"]
    assert weft_("embed", "one") == (
        2,
        "",
        "weft: error: nowhere to write to: name a file with --out, or give two texts or more to compare\n",
    )


def test_wikitext_loads(weft_data: Path, tmp_path: Path) -> None:
    path = weft_data / "wikitext-2" / "valid.txt.gz"
    problem = problem_of(path, length=128)
    tokenizer = problem.make_tokenizer()
    task = problem.make_task(tmp_path / "data", tokenizer=tokenizer, begun=False, tell=print)
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")
    groups = "\n".join("" if line.isspace() else line for line in lines).split("\n\n")
    documents = sum(1 for group in groups if group.strip())
    assert 0.7 * documents < task.documents < documents
    assert task.lengths.sum() > 0.998 * task.lengths.size * 128
    assert task.held_out > 100
