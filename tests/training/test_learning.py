"""Learning is a test: strings copied and reversed, exactly."""

import random
from pathlib import Path

import pytest

import weft

SETTINGS = {
    "tokenizer.kind": "characters",
    "model.width": 64,
    "model.encoder_layers": 2,
    "model.decoder_layers": 1,
    "model.dropout": 0.0,
    "train.batch_tokens": 512,
    "train.learning_rate": 5e-3,
    "train.smoothing": 0.0,
    "train.warmup": 30,
}


@pytest.mark.parametrize("task", [pytest.param("copy", marks=pytest.mark.slow), "reverse"])
def test_strings_are_learned_to_99_percent(task: str, tmp_path: Path) -> None:
    """Strings of 3 to 8 of ten letters; none of those it is tested on was seen in training."""
    chance = random.Random(0)
    seen: set[str] = set()
    for name, count in (("train", 20_000), ("test", 300)):
        strings = ["".join(chance.choices("abcdefghij", k=chance.randint(3, 8))) for _ in range(count)]
        strings = [string for string in strings if string not in seen]
        seen.update(strings)
        rows = [f"{string}\t{string if task == 'copy' else string[::-1]}\n" for string in strings]
        (tmp_path / f"{name}.tsv").write_text("from\tto\n" + "".join(rows))
    weft.train(
        train=str(tmp_path / "train.tsv"),
        from_language="from",
        to_language="to",
        out=tmp_path / "run",
        steps=1400,
        preset="tiny",
        overrides=SETTINGS,
    )
    found = weft.load(tmp_path / "run").evaluate(str(tmp_path / "test.tsv"), beams=1)
    assert found.exact >= 0.99
