"""A small parallel corpus, and a run small enough for a test."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import weft.api
from weft.training.report import Result

WORDS = {"a": "eins", "b": "zwei", "c": "drei", "d": "vier", "e": "fünf", "f": "sechs", "g": "sieben"}
SMALL = {
    "model.width": 32,
    "model.heads": 2,
    "model.feed_forward": 48,
    "model.encoder_layers": 1,
    "model.decoder_layers": 1,
    "train.batch_tokens": 128,
    "train.warmup": 5,
    "train.validations": 3,
}


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train.{en,de} and valid.{en,de}: words one for one, in the other order."""
    folder, chance = tmp_path_factory.mktemp("corpus"), random.Random(0)
    for name, count in (("train", 300), ("valid", 20)):
        lines = [chance.choices(list(WORDS), k=chance.randint(2, 9)) for _ in range(count)]
        (folder / f"{name}.en").write_text("".join(" ".join(words) + "\n" for words in lines))
        other = [" ".join(WORDS[word] for word in reversed(words)) for words in lines]
        (folder / f"{name}.de").write_text("".join(line + "\n" for line in other))
    return folder


@pytest.fixture
def begin(corpus: Path) -> Callable[..., Result]:
    """Start a small run: `begin(out, steps=20, **settings)`."""

    def run(out: Path, *, report: Any = None, steps: int | None = 20, **settings: Any) -> Result:
        return weft.api.train(
            train=f"{corpus}/train.{{en,de}}",
            valid=f"{corpus}/valid.{{en,de}}",
            out=out,
            from_language="en",
            to_language="de",
            steps=steps,
            overrides={**SMALL, **{name.replace("__", "."): value for name, value in settings.items()}},
            report=report,
        )

    return run
