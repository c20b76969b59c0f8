"""Prompts and completions: the second alone is learned, and a model that has learned it answers."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

import weft
from weft.config import GeneratorConfig, LanguageRun
from weft.data.sources import open_sources
from weft.errors import UserError
from weft.models.decoder import Decoder
from weft.pipelines.generator import Generator
from weft.tasks.completions import Completions, keep_completions
from weft.tasks.language_model import LanguageProblem
from weft.tasks.next_token import LanguageModel
from weft.text.training import train_tokenizer

SMALL = {
    "tokenizer.kind": "characters",
    "language.length": 32,
    "model.width": 32,
    "model.heads": 2,
    "model.feed_forward": 64,
    "model.decoder_layers": 2,
    "model.max_length": 64,
    "train.batch_tokens": 512,
    "train.learning_rate": 1e-2,
    "train.warmup": 10,
    "train.validations": 2,
    "train.precision": "float32",
}
COLUMNS = {"prompt_column": "ask", "completion_column": "say"}


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A letter is asked for, and said three times."""
    chance, lines = random.Random(0), []
    for _ in range(200):
        letter, noise = chance.choice("abcd"), "".join(chance.choices("xyz", k=chance.randint(0, 6)))
        lines.append(json.dumps({"ask": f"{noise}{letter}?", "say": f" {letter * 3}."}))
    path = tmp_path_factory.mktemp("data") / "orders.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_completion_alone_is_labelled(orders: Path, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(["abcdxyz?. "] * 9, kind="characters", exact=True)
    sources = open_sources([str(orders)], fields=["ask", "say"])
    store, sizes = keep_completions(tmp_path / "store", sources, tokenizer, begun=False, tell=lambda _: None)
    assert sizes.tolist() == [5] * 200
    rows = Completions(store, range(200), fields=("ask", "say"), prefix=[1], end=2, length=13, sizes=sizes)
    assert 0 < rows.too_long == 200 - len(rows)
    batch = rows.batch(np.array([0, 5, 2]), shift=0)
    width = batch["ids"].shape[1]
    for place, (ids, number) in enumerate(zip(batch["ids"].tolist(), rows.numbers[[0, 5, 2]], strict=True)):
        (prompt,), (completion,) = (
            tokenizer.encode([text])
            for text in list(json.loads(orders.read_text().splitlines()[number]).values())
        )
        assert ids[: 1 + len(prompt) + len(completion)] == [1, *prompt, *completion]
        own = (batch["chosen"] // width == place).nonzero()[:, 0]
        assert batch["labels"][own].tolist() == [*completion, 2]
        assert (batch["chosen"][own] % width).tolist() == list(
            range(len(prompt), len(prompt) + len(completion) + 1)
        )
    assert (rows.predicted, rows.size) == (len(rows) * 6, len(rows) * 5)


def test_the_loss_is_that_of_each_pair_alone(orders: Path, tmp_path: Path) -> None:
    data = {"train": (str(orders),)}
    model = {"architecture": "decoder", "vocabulary": 15, "width": 16, "heads": 2, "feed_forward": 16}
    model |= {"decoder_layers": 1, "position": "rotary", "tie": "none", "max_length": 64}
    run = LanguageRun.model_validate(
        {
            "data": data,
            "tokenizer": {"kind": "characters"},
            "model": model,
            "language": {"length": 32, **COLUMNS},
        }
    )
    problem = LanguageProblem(run)
    tokenizer = problem.make_tokenizer()
    task = problem.make_task(tmp_path / "data", tokenizer=tokenizer, begun=False, tell=lambda _: None)
    assert isinstance(task, LanguageModel)
    assert task.held_out == 20
    torch.manual_seed(0)
    decoder = Decoder(run.model.model_copy(update={"vocabulary": tokenizer.vocab_size})).eval()
    decoder.requires_grad_(False)
    together = task.loss(decoder, task.collate([0, 3, 7]))["next"]
    some = tmp_path / "some.jsonl"
    lines = orders.read_text().splitlines()
    numbers = [int(task.train.numbers[row]) for row in (0, 3, 7)]  # type: ignore[attr-defined]
    some.write_text("\n".join(lines[number] for number in numbers))
    config = GeneratorConfig(model=decoder.config, prefix=(1,))
    measured = Generator(config, model=decoder, tokenizer=tokenizer).evaluate(some, **COLUMNS)
    assert measured.loss == pytest.approx(float(together.total) / together.count, rel=1e-5)
    assert measured.tokens == together.count
    total, count = 0.0, 0
    for row in (0, 3, 7):
        number = int(task.train.numbers[row])  # type: ignore[attr-defined]
        prompt, completion = (
            tokenizer.encode([text])[0]
            for text in json.loads(orders.read_text().splitlines()[number]).values()
        )
        ids = torch.tensor([[1, *prompt, *completion, 2]])
        logits = decoder.logits(decoder(ids[:, :-1]))[0, len(prompt) :]
        total += float(functional.cross_entropy(logits, ids[0, len(prompt) + 1 :], reduction="sum"))
        count += len(completion) + 1
    assert (float(together.total), together.count) == (pytest.approx(total, rel=1e-5), count)


def test_it_answers(orders: Path, tmp_path: Path) -> None:
    weft.train(
        "language-model",
        train=orders,
        out=tmp_path / "run",
        steps=120,
        preset="tiny",
        overrides=SMALL,
        **COLUMNS,
    )
    found = weft.load(tmp_path / "run").generate(["xxa?", "zyxd?", "b?"], tokens=10)
    assert [(each.text, each.ended) for each in found] == [
        (" aaa.", "end"),
        (" ddd.", "end"),
        (" bbb.", "end"),
    ]
    longer, few = json.dumps({"ask": "x" * 70, "say": " aaa."}), tmp_path / "few.jsonl"
    few.write_text("\n".join([*orders.read_text().splitlines()[:7], longer, '{"ask": "a?", "say": ""}']))
    it = weft.load(tmp_path / "run")
    measured = it.evaluate(few)  # which stand in the columns that they were learned from
    assert measured[:7] == it.evaluate(few, **COLUMNS)[:7]
    (tmp_path / "text.txt").write_text(" aaa.\n")
    assert it.evaluate(tmp_path / "text.txt", text_column="text").tokens == 7
    for options, why in (
        ({"stride": 5}, "without text_column, stride and memory"),
        ({**COLUMNS, "text_column": "x"}, "without text_column, stride and memory"),
        ({"prompt_column": "ask"}, "name both, or neither"),
        ({"prompt_column": "ask", "completion_column": "ask"}, "name both, or neither"),
    ):
        with pytest.raises(UserError, match=why):
            it.evaluate(few, **options)
    assert (measured.tokens, measured.bytes) == (42, 35)
    assert measured.loss < 0.1
    assert [line.partition(":")[0] for line in measured.left_out] == [
        "1 left out as longer than the model takes",
        "1 left out as one-sided",
    ]
    options = {name: value for name, value in SMALL.items() if name.startswith(("train", "language"))}
    weft.train(
        "language-model",
        train=orders,
        valid=orders,
        out=tmp_path / "on",
        steps=2,
        from_checkpoint=tmp_path / "run",
        overrides=options,
        **COLUMNS,
    )
    assert weft.load(tmp_path / "on").generate("b?", tokens=10).text == " bbb."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_column": "ask"}, "need both prompt_column and completion_column"),
        ({"prompt_column": "ask", "completion_column": "reply"}, 'no column "reply"'),
        ({**COLUMNS, "overrides": {**SMALL, "language.length": 3}}, "not a single row of 3 tokens"),
        ({**COLUMNS, "preset": "recurrent-tiny"}, "a Transformer-XL remembers"),
    ],
)
def test_wrong_settings(orders: Path, tmp_path: Path, options: dict[str, Any], message: str) -> None:
    given = {"preset": "tiny", "overrides": SMALL if "preset" not in options else {}, **options}
    with pytest.raises(UserError, match=message):
        weft.train("language-model", train=orders, out=tmp_path / "run", steps=1, **given)
