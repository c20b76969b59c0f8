"""Text that does not fit into memory."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

GIGABYTE = 2**30
WORDS, LINE = 20_000, 12


def write_text(path: Path, *, size: int) -> None:
    """Lines of made-up words, the frequent ones as frequent as in a language, of so many bytes."""
    chance = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = np.array(
        ["".join(chance.choice(letters, size=length)) for length in chance.integers(2, 10, size=WORDS)]
    )
    weights = 1 / np.arange(1, WORDS + 1)
    with path.open("w", encoding="ascii") as file:
        while file.tell() < size:
            drawn = words[chance.choice(WORDS, size=(100_000, LINE), p=weights / weights.sum())]
            file.writelines(" ".join(line) + "\n" for line in drawn.tolist())


@pytest.mark.slow
def test_two_gigabytes_are_learned_from_within_one(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    write_text(text, size=2 * GIGABYTE)
    settings = ["--preset", "tiny", "--steps", "20", "--set", "tokenizer.size=4000"]
    command = [sys.executable, "-m", "weft", "train", "language-model", "--train", str(text), *settings]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "run")], capture_output=True, text=True, check=False
    )
    text.unlink()
    assert done.returncode == 0, done.stderr
    tokens = (tmp_path / "run" / "data" / "train" / "0.ids").stat().st_size // 2
    assert tokens > 2**28
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    assert peak < GIGABYTE, f"{peak / GIGABYTE:.2f} GiB"
