"""Language models: the next token of a stream, or of texts that do not see each other, and what is learned."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import weft.api
from weft.config import LanguageRun
from weft.data.packing import FIELD
from weft.errors import UserError
from weft.models.decoder import Decoder
from weft.runs.log import read_log
from weft.runs.tensors import read_tensors
from weft.tasks.language_model import LanguageProblem
from weft.tasks.next_token import Apart, LanguageModel, Streamed
from weft.training import loop
from weft.training.report import Result, Silent

MODEL = {
    "architecture": "decoder",
    "vocabulary": 1,
    "width": 32,
    "heads": 2,
    "feed_forward": 64,
    "decoder_layers": 2,
    "position": "rotary",
    "norm": "rms",
    "tie": "none",
    "max_length": 64,
}
SMALL = {
    "tokenizer.kind": "characters",
    "language.length": 16,
    **{f"model.{name}": MODEL[name] for name in ("width", "heads", "feed_forward", "decoder_layers")},
    "model.max_length": 64,
    "train.batch_tokens": 128,
    "train.warmup": 5,
    "train.validations": 3,
    "train.precision": "float32",
}
RHYME = "The cat sat on the mat.\nThe dog lay in the fog.\n\n"
TEXTS = [
    "a cat",
    "the old dog\nsleeps",
    "b",
    "green trees, café",
    "how many words does it take",
    "",
    "so be it",
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus") / "rhyme.txt"
    path.write_text(RHYME * 30)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text, "id": 3}) + "\n" for text in TEXTS))
    return path


def problem_of(*train: Path | str, valid: Path | None = None, **settings: Any) -> LanguageProblem:
    """Settings of the model and the run by name, others are the task's own."""
    kind = settings.pop("kind", "characters")
    run: dict[str, Any] = {
        "data": {"train": tuple(map(str, train)), "valid": () if valid is None else (str(valid),)},
        "tokenizer": {"kind": kind, "size": settings.pop("size", None)},
        "model": {**MODEL, **settings.pop("model", {})},
        "hold_out": settings.pop("hold_out", 0.1),
    }
    return LanguageProblem(LanguageRun.model_validate({**run, "language": {"length": 16, **settings}}))


def make(folder: Path, *train: Path | str, **settings: Any) -> tuple[LanguageModel, Decoder, LanguageProblem]:
    """A task, and a model for it that is not trained."""
    problem = problem_of(*train, **settings)
    tokenizer = problem.make_tokenizer()
    task = problem.make_task(folder / "data", tokenizer=tokenizer, begun=False, tell=print)
    torch.manual_seed(0)
    shape = problem.run.model.model_copy(update={"vocabulary": tokenizer.vocab_size})
    return task, problem.make_model(shape).eval(), problem


@pytest.fixture
def begin(corpus: Path) -> Callable[..., Result]:
    def run(
        out: Path, *, steps: int = 12, report: Any = None, train: Path = corpus, **settings: Any
    ) -> Result:
        overrides = {**SMALL, **{name.replace("__", "."): value for name, value in settings.items()}}
        return weft.api.train(
            "language-model", train=train, out=out, steps=steps, overrides=overrides, report=report
        )

    return run


def alone(model: Decoder, ids: list[int]) -> float:
    """The loss of a text read by itself, each token from those before it, in nats."""
    with torch.inference_mode():
        logits = model.logits(model(torch.tensor([ids[:-1]])))[0]
    return float(functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum"))


def every_token(task: LanguageModel, rows: Streamed) -> list[int]:
    return rows.stream.store[FIELD].ids.tolist()


def test_in_a_stream_the_labels_are_the_next_tokens(corpus: Path, tmp_path: Path) -> None:
    task, model, problem = make(tmp_path, corpus)
    rows = np.arange(len(task.train))
    batch = task.collate(rows)
    assert batch["ids"].shape == (len(rows), 16)
    tokenizer = problem.make_tokenizer()
    (text,) = tokenizer.decode([batch["labels"].tolist()])
    assert text == (RHYME * 30)[1 : 1 + len(rows) * 16]
    assert torch.equal(batch["ids"].flatten()[1:], batch["labels"][:-1])
    loss = task.loss(model, batch)["next"]
    assert {"next": loss.count} == task.count(batch) == {"next": len(rows) * 16}
    expected = sum(
        alone(model, [*ids.tolist(), int(label)])
        for ids, label in zip(batch["ids"], batch["labels"].view(len(rows), -1)[:, -1], strict=True)
    )
    assert float(loss.total.detach()) == pytest.approx(expected, rel=1e-5)


def test_each_step_cuts_the_stream_elsewhere_and_all_parts_of_it_alike(corpus: Path, tmp_path: Path) -> None:
    task, _, _ = make(tmp_path, corpus)
    found = []
    for seed in (5, 6, 5):
        task.begin_step(seed)
        found.append(task.collate([4, 2])["ids"])
        assert torch.equal(task.collate([2])["ids"][0], found[-1][1])
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[0][:, 1:], found[1][:, :-1])


def test_files_follow_each_other_with_an_end_between_them(tmp_path: Path) -> None:
    for name, text in (("a.txt", "one\n\ntwo"), ("b.txt", "three\n" * 9)):
        (tmp_path / name).write_text(text)
    task, _, problem = make(tmp_path, f"{tmp_path}/*.txt")
    assert isinstance(task.train, Streamed)
    tokens, tokenizer = every_token(task, task.train), problem.make_tokenizer()
    first = tokens.index(tokenizer.eos_id)
    assert tokenizer.decode([tokens[:first], tokens[first:]]) == ["one\n\ntwo\n", "three\n" * 9]
    assert (tokens.count(tokenizer.eos_id), tokens[-1]) == (2, tokenizer.eos_id)
    assert task.place(0) == f"{tmp_path / 'a.txt'}:1"
    assert task.place(1).startswith(f"{tmp_path / 'b.txt'}:")


@pytest.mark.parametrize("kind", ["characters", "bpe"])
def test_texts_apart_do_not_see_each_other(table: Path, tmp_path: Path, kind: str) -> None:
    """The loss is that of the texts read alone, and each of their tokens is predicted once."""
    size = 60 if kind == "bpe" else None
    task, model, problem = make(tmp_path, table, valid=table, texts="apart", length=40, kind=kind, size=size)
    tokenizer = problem.make_tokenizer()
    texts = [[1, *ids, 2] for text, ids in zip(TEXTS, tokenizer.encode(TEXTS), strict=True) if text]
    assert len(task.train) < len(texts)
    batch = task.collate(np.arange(len(task.train)))
    loss = task.loss(model, batch)["next"]
    assert loss.count == len(batch["labels"]) == sum(len(text) - 1 for text in texts)
    assert float(loss.total.detach()) == pytest.approx(sum(alone(model, text) for text in texts), rel=1e-5)
    read = zip(batch["ids"].flatten()[batch["chosen"]].tolist(), batch["labels"].tolist(), strict=True)
    assert sorted(read) == sorted(pair for text in texts for pair in pairwise(text))


def test_a_file_is_a_text_and_one_longer_than_a_row_is_cut(tmp_path: Path) -> None:
    for name, text in (
        ("a.txt", "one\n\ntwo"),
        ("b.txt", "four\nfive\nsix seven eight nine ten"),
        ("c.txt", "0"),
    ):
        (tmp_path / name).write_text(text)
    task, _, problem = make(tmp_path, f"{tmp_path}/*.txt", valid=tmp_path / "a.txt", texts="apart")
    tokenizer = problem.make_tokenizer()
    read = []
    assert isinstance(task.train, Apart)
    for number in range(len(task.train)):
        row = task.train.rows[number]
        assert len(row.ids) <= 17
        pieces = [row.ids[row.documents == document] for document in np.unique(row.documents)]
        assert all((piece[0], piece[-1]) == (1, 2) for piece in pieces)
        read += tokenizer.decode([piece.tolist() for piece in pieces])
    assert sorted(read) == sorted(["one\n\ntwo\n", "0\n", "four\nfive\nsix s", "even eight nine", " ten\n"])
    assert problem.describe(problem.run.model).prefix == (1,)
    assert problem_of(tmp_path / "a.txt").describe(problem.run.model).prefix == ()


@pytest.mark.parametrize("texts", ["stream", "apart"])
def test_the_end_of_a_line_of_words_is_the_end_token(tmp_path: Path, table: Path, texts: str) -> None:
    """In a file and in a table's text; an empty line is an end by itself."""
    lines = ["a cat", "", "a cat a dog", "so be it a cat so be it"] * 3
    (tmp_path / "words.txt").write_text("".join(f"{line}\n" for line in lines))
    task, _, problem = make(tmp_path, tmp_path / "words.txt", kind="words", texts=texts)
    tokenizer = problem.make_tokenizer()
    expected = [id_ for ids in tokenizer.encode(lines) for id_ in [*ids, 2]]
    store = task.train.stream.store if isinstance(task.train, Streamed) else task.train.rows.store  # type: ignore[attr-defined]
    assert store[FIELD].ids.tolist() == expected
    problem = problem_of(table, valid=table, kind="words", texts=texts, length=8)
    task = problem.make_task(tmp_path / "table", tokenizer=tokenizer, begun=False, tell=print)
    store = task.train.stream.store if isinstance(task.train, Streamed) else task.train.rows.store  # type: ignore[attr-defined]
    texts_in_lines = [line for text in TEXTS if text for line in text.split("\n")]
    expected = [id_ for ids in tokenizer.encode(texts_in_lines) for id_ in [*ids, 2]]
    assert store[FIELD].ids.tolist() == expected
    if isinstance(task.train, Apart):
        batch = task.collate(np.arange(len(task.train)))
        assert sorted(batch["labels"].tolist()) == sorted(expected)


@pytest.mark.parametrize("texts", ["stream", "apart"])
def test_bits_per_byte_are_nats_by_bytes(tmp_path: Path, corpus: Path, texts: str) -> None:
    """Letters of two bytes make it other than bits by token."""
    valid = "né dög à thé\n" * 5  # 65 characters, 85 bytes, and the end: 65 predictions in a stream, 66 apart
    (tmp_path / "valid.txt").write_text(valid)
    (tmp_path / "train.txt").write_text(valid + RHYME * 4)
    length = 13 if texts == "stream" else 67
    model = {"max_length": 128}
    task, decoder, problem = make(
        tmp_path,
        tmp_path / "train.txt",
        valid=tmp_path / "valid.txt",
        texts=texts,
        length=length,
        model=model,
    )
    (ids,) = problem.make_tokenizer().encode([valid])
    if texts == "stream":
        stream = [*ids, 2]
        rows = [stream[begin : begin + 14] for begin in range(0, 65, 13)]
        count, tokens = 65, 66
    else:
        rows, count, tokens = [[1, *ids, 2]], 66, 66
    nats = sum(alone(decoder, row) for row in rows)
    found = task.validate(decoder, scored=task.held_out)
    assert found is not None
    assert task.held_out == len(rows)
    assert found.goal is None
    assert found.loss == pytest.approx(nats / count, rel=1e-5)
    assert found.scores.keys() == {"perplexity", "bits_per_byte"}
    assert found.scores["perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-5)
    size = len(valid.encode())
    assert found.scores["bits_per_byte"] == pytest.approx(
        nats / count * tokens / size / math.log(2), rel=1e-5
    )


def test_validation_is_the_same_each_time_and_of_so_many_rows(corpus: Path, tmp_path: Path) -> None:
    task, model, _ = make(tmp_path, corpus, hold_out=0.4)
    first = task.validate(model, scored=task.held_out)
    task.begin_step(3)
    assert first == task.validate(model, scored=task.held_out)
    few = task.validate(model, scored=3)
    assert few is not None
    rows = [
        task.valid.batch(np.array([row]), shift=0) for row in np.linspace(0, task.held_out - 1, 3).astype(int)
    ]
    total = sum(float(task.loss(model, row)["next"].total.detach()) for row in rows)
    assert few.loss == pytest.approx(total / 48, rel=1e-5)


def test_the_end_of_a_stream_is_held_out(corpus: Path, tmp_path: Path) -> None:
    task, _, problem = make(tmp_path, corpus, hold_out=0.2)
    assert isinstance(task.train, Streamed)
    assert isinstance(task.valid, Streamed)
    size = len(RHYME) * 30 + 1
    held = int(0.2 * size)
    assert (task.train.stream.begin, task.train.stream.size) == (0, size - held)
    assert (task.valid.stream.begin, task.valid.stream.size) == (size - held, held)
    batch = task.valid.batch(np.arange(len(task.valid)), shift=0)
    (text,) = problem.make_tokenizer().decode([batch["ids"].flatten().tolist()])
    assert (RHYME * 30)[size - held :].startswith(text)
    assert task.facts["held out"] == f"{len(task.valid)} rows of the training text"
    few, _, _ = make(tmp_path / "few", corpus, hold_out=0.001)
    assert len(few.valid) == 1  # a row at the least


def test_of_a_large_text_no_more_is_held_out_than_tells_losses_apart(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.tasks.language_model.MOST_HELD_OUT", 50)
    task, _, _ = make(tmp_path, corpus, hold_out=0.2)
    assert isinstance(task.train, Streamed)
    assert isinstance(task.valid, Streamed)
    assert (task.valid.stream.size, task.train.stream.size) == (50, len(RHYME) * 30 + 1 - 50)


def test_a_text_of_its_own_is_held_out(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "valid.txt").write_text(RHYME)
    task, _, _ = make(tmp_path, corpus, valid=tmp_path / "valid.txt")
    assert isinstance(task.train, Streamed)
    assert task.train.stream.size == len(RHYME) * 30 + 1
    assert (len(task.valid), task.facts["held out"]) == (len(RHYME) // 16, f"{len(RHYME) // 16} rows")
    assert task.valid.place(0) == f"{tmp_path / 'valid.txt'}:1"


@pytest.mark.parametrize("name", ["texts.jsonl", "texts.csv", "texts.tsv"])
def test_a_table_has_its_texts_in_a_column(tmp_path: Path, name: str) -> None:
    texts = [text.replace("\n", " ") for text in TEXTS if text]
    path = tmp_path / name
    if name.endswith("jsonl"):
        path.write_text("".join(json.dumps({"body": text, "text": "x"}) + "\n" for text in texts))
    else:
        sign = "\t" if name.endswith("tsv") else ","
        cells = [f'"{text}"' if sign in text else text for text in texts]
        path.write_text(f"text{sign}body\n" + "".join(f"x{sign}{cell}\n" for cell in cells))
    task, _, problem = make(tmp_path, path, text_column="body", length=8)
    assert isinstance(task.train, Streamed)
    tokens, tokenizer = every_token(task, task.train), problem.make_tokenizer()
    expected = [id_ for ids in tokenizer.encode(texts) for id_ in [*ids, tokenizer.eos_id]]
    assert tokens == expected
    with pytest.raises(UserError, match=rf'{name}: no (column|field) "txt".*did you mean "text"'):
        problem_of(path, text_column="txt")


def test_a_hub_data_set_has_its_texts_in_a_column(tmp_path: Path, hub_cache: None) -> None:
    texts = [f"A cat and {number} dogs\nsleep." for number in range(60)]
    (tmp_path / "train.jsonl").write_text("\n".join(json.dumps({"body": text, "id": 3}) for text in texts))
    problem = problem_of(f"hub:{tmp_path}", text_column="body", texts="apart", length=32)
    tokenizer = problem.make_tokenizer()
    task = problem.make_task(tmp_path / "data", tokenizer=tokenizer, begun=False, tell=print)
    assert isinstance(task.train, Apart) and isinstance(task.valid, Apart)
    assert len(task.train.rows.packing.pieces) + len(task.valid.rows.packing.pieces) == 60
    (line,) = tokenizer.decode([task.train.rows[0].ids.tolist()[1:12]])
    assert line.startswith("A cat and ")


def test_pieces_of_bytes_give_the_text_back(corpus: Path, tmp_path: Path) -> None:
    task, _, problem = make(tmp_path, corpus, kind="bpe", size=120)
    assert isinstance(task.train, Streamed)
    tokens = every_token(task, task.train)
    assert problem.make_tokenizer().decode([tokens]) == [RHYME * 30]
    assert len(tokens) < len(RHYME) * 20


def test_smoothing_counts_in_training_alone(corpus: Path, tmp_path: Path) -> None:
    task, model, _ = make(tmp_path, corpus)
    batch = task.collate([0, 1])
    losses = {}
    for smoothing in (0.0, 0.3):
        task.smoothing = smoothing
        for training in (True, False):
            loss = task.loss(model.train(training), batch)["next"]
            losses[smoothing, training] = float(loss.total.detach())
    assert losses[0.0, False] == losses[0.3, False] == losses[0.0, True] != losses[0.3, True]


class Stop(Silent):
    """Ends a run from outside at a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, step: int, *details: Any, **more: Any) -> None:
        if step == self.at:
            raise InterruptedError


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


@pytest.mark.parametrize("settings", [{}, {"language__texts": "apart", "language__length": 60}], ids=str)
def test_a_run_that_was_stopped_ends_with_the_same_bits(
    tmp_path: Path,
    table: Path,
    corpus: Path,
    begin: Callable[..., Result],
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "TELL_SECONDS", 0.0)
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    given = {**settings, "model__dropout": 0.2, "train__average": 0.3, "train": table if settings else corpus}
    left_alone = begin(tmp_path / "alone", **given)
    with pytest.raises(InterruptedError):
        begin(tmp_path / "stopped", report=Stop(8), **given)
    resumed = weft.api.resume(tmp_path / "stopped")
    assert weights(tmp_path / "stopped") == weights(tmp_path / "alone")
    assert (resumed.loss, resumed.scores) == (left_alone.loss, left_alone.scores)
    logs = [read_log(tmp_path / name / "metrics.jsonl") for name in ("stopped", "alone")]
    assert [line["step"] for line in logs[0]] == [line["step"] for line in logs[1]]


def test_accumulation_changes_nothing_but_rounding(
    tmp_path: Path, table: Path, begin: Callable[..., Result]
) -> None:
    """Parts of a batch of texts apart have uneven counts of predictions."""
    given = {"language__texts": "apart", "language__length": 30, "train": table, "train__learning_rate": 1e-3}
    begin(tmp_path / "whole", steps=5, **given)
    begin(tmp_path / "parts", steps=5, train__accumulate=2, **given)
    ours, theirs = (read_tensors(tmp_path / name / loop.LAST) for name in ("whole", "parts"))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize(
    "fields", [{"language__length": 12}, {"language__texts": "apart"}, {"hold_out": 0.3}], ids=str
)
def test_every_setting_changes_the_result(
    fields: dict[str, Any], tmp_path_factory: pytest.TempPathFactory, begin: Callable[..., Result]
) -> None:
    plain = tmp_path_factory.getbasetemp() / "plain-language"
    if not plain.exists():
        begin(plain, steps=4)
    out = tmp_path_factory.mktemp("changed") / "run"
    begin(out, steps=4, **fields)
    assert weights(out) != weights(plain)


@pytest.fixture(scope="module")
def learned(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    settings = {**SMALL, "train.learning_rate": 1e-2, "train.batch_tokens": 512, "language.length": 32}
    out = tmp_path_factory.mktemp("learned") / "run"
    return out, weft.api.train("language-model", train=corpus, out=out, steps=100, overrides=settings)


def test_a_rhyme_is_learned(learned: tuple[Path, Result]) -> None:
    run, result = learned
    assert result.loss is not None
    assert result.loss < 0.15  # a row's first character or two must be guessed
    assert result.scores["bits_per_byte"] < 0.25
    config = json.loads((run / "config.json").read_text())
    assert (config["task"], config["family"], config["prefix"]) == ("language-model", "weft", [])
    generator = weft.api.load(run, precision="float32")
    assert (RHYME * 2).startswith(
        "The dog" + generator.generate("The dog", tokens=25).text, RHYME.index("The dog")
    )
    found = generator.generate("The cat", tokens=40, stop="\n")
    assert (found.text, found.ended) == (" sat on the mat.", "stop")


def test_a_run_begins_with_what_another_has_learned(
    learned: tuple[Path, Result], tmp_path: Path, corpus: Path
) -> None:
    begun = weft.api.train(
        "language-model",
        train=corpus,
        out=tmp_path / "more",
        steps=1,
        from_checkpoint=learned[0],
        overrides={"language.length": 24},
    )
    assert begun.loss is not None
    assert begun.loss < 0.3
    assert (tmp_path / "more" / "tokenizer.json").read_bytes() == (learned[0] / "tokenizer.json").read_bytes()
    shape = weft.info(tmp_path / "more")["model"]
    assert (shape["width"], shape["decoder_layers"]) == (32, 2)


def test_a_run_goes_on_with_the_text_it_began_with_alone(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(RHYME * 9)
    tokenizer = problem_of(path).make_tokenizer()
    before = problem_of(path).make_task(tmp_path / "data", tokenizer=tokenizer, begun=False, tell=print)
    path.write_text(RHYME * 9)  # the same again
    again = problem_of(path).make_task(tmp_path / "data", tokenizer=tokenizer, begun=True, tell=print)
    assert torch.equal(before.collate([1])["ids"], again.collate([1])["ids"])
    path.write_text((RHYME * 9).replace("cat", "hat", 1))
    with pytest.raises(UserError, match="text.txt: not the text that this run began with"):
        problem_of(path).make_task(tmp_path / "data", tokenizer=tokenizer, begun=True, tell=print)


def test_a_store_without_the_size_of_its_text_is_mended(tmp_path: Path) -> None:
    """As a run leaves it that is killed between the two."""
    (tmp_path / "text.txt").write_text(RHYME * 9)
    first, _, _ = make(tmp_path, tmp_path / "text.txt")
    (tmp_path / "data" / "train" / "bytes.json").unlink()
    again, _, _ = make(tmp_path, tmp_path / "text.txt")
    assert again.bytes_per_token == first.bytes_per_token == len((RHYME * 9).encode()) / (len(RHYME * 9) + 1)


def test_what_cannot_be_learned_from_is_told(
    tmp_path: Path, corpus: Path, learned: tuple[Path, Result]
) -> None:
    def refusal(content: bytes | str, *, name: str = "text.txt", **settings: Any) -> str:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(UserError) as refused:
            weft.api.train("language-model", train=path, out=tmp_path / "run", steps=1, **settings)
        assert not (tmp_path / "run").exists()
        message = str(refused.value)
        assert "\n" not in message
        return message

    assert "text.txt" in refusal("")
    assert "text.txt" in refusal("\n \n\t\n")
    short = refusal("one two three\n")
    assert "text.txt: not a single row of 256 tokens" in short
    assert "set language.length to less, or give more text" in short
    assert "text.txt:2: " in refusal(b"one\n\xff\xfe\x00\x81\n")
    assert "text.jsonl:2" in refusal('{"text": "a"}\n{"text": \n', name="text.jsonl")
    long = refusal(RHYME, overrides={"language.length": 512, "model.max_length": 128})
    assert long.startswith("language.length is 512, and the model takes 128 tokens: set model.max_length")
    lossy = refusal(RHYME, overrides={"tokenizer.kind": "unigram"})
    assert lossy == (
        'tokenizer.kind = "unigram" loses the ends of lines, which a language model writes too: use one of '
        "bpe, words, characters"
    )
    assert "language.lenght" in refusal(RHYME, overrides={"language.lenght": 5})
    assert "no preset" in refusal(RHYME, preset="gigantic")
    begun = {"from_checkpoint": learned[0]}
    assert "model.width is the checkpoint's, which is 32" in refusal(
        RHYME, overrides={"model.width": 64}, **begun
    )
    assert "language.length is 256, and the model takes 64" in refusal(RHYME, **begun)
    assert "tokenizer.kind" in refusal(RHYME, tokenizer="words", **begun)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path, corpus: Path) -> None:
    reader = tmp_path / "reader"
    shape = {f"model.{name}": size for name, size in (("width", 16), ("heads", 2), ("encoder_layers", 1))}
    weft.api.train("masked-lm", train=corpus, out=reader, steps=1, overrides={**shape, "masked.length": 16})
    with pytest.raises(UserError) as refused:
        weft.api.train("language-model", train=corpus, out=tmp_path / "run", steps=1, from_checkpoint=reader)
    assert str(refused.value) == (
        f"{reader}: a model for the task masked-lm, where a decoder is needed to begin with"
    )
