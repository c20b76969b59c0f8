"""The time to a loss: both sides learn from the same text, and what fails says so."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest
from benchmarks import time_to_loss
from benchmarks.report import Options

from weft.errors import UserError

TEXT = "to be or not to be, that is the question:\n" * 60


@pytest.fixture
def options(tmp_path: Path) -> Options:
    folder = tmp_path / "data" / "tiny_shakespeare"
    folder.mkdir(parents=True)
    (folder / "input.txt.gz").write_bytes(gzip.compress(TEXT.encode()))
    return Options(data=tmp_path / "data", work=tmp_path / "work", minutes=0.01)


def peer(folder: Path, script: str) -> Path:
    (folder / "config").mkdir(parents=True)
    (folder / "config" / "train_shakespeare_char.py").write_text("")
    (folder / "configurator.py").write_text("")
    (folder / "train.py").write_text(script)
    return folder


def test_it_needs_a_clone(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NANOGPT", raising=False)
    with pytest.raises(UserError, match="a clone of nanoGPT in NANOGPT"):
        time_to_loss.run(options)


def test_a_peer_that_fails_is_no_result(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NANOGPT", str(peer(tmp_path / "nano", "raise SystemExit(3)")))
    monkeypatch.setattr(time_to_loss, "_train_weft", lambda *_, **__: (1.0, 1.8))
    with pytest.raises(UserError, match="nanoGPT failed, or was done too soon"):
        time_to_loss.run(options)


def test_the_peer_finds_its_data(options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import time, pathlib\nassert pathlib.Path('data/shakespeare_char/train.bin').exists()\ntime.sleep(2)\n"
    monkeypatch.setenv("NANOGPT", str(peer(tmp_path / "nano", script)))
    monkeypatch.setattr(
        time_to_loss, "_train_weft", lambda *_, **__: (time_to_loss.time.sleep(0.1) or 0.1, 1.8)
    )
    (row,) = time_to_loss.run(options)
    assert row.weft == 0.1 and 1.9 < row.peer_value < 30 and row.ratio > 19
    data = options.work / "time_to_loss" / "nanogpt" / "data" / "shakespeare_char"
    spelled = pickle.loads((data / "meta.pkl").read_bytes())["itos"]  # noqa: S301
    parts = [np.fromfile(data / f"{name}.bin", dtype=np.uint16).tolist() for name in ("train", "val")]
    assert "".join(spelled[number] for part in parts for number in part) == TEXT
    assert len(parts[0]) == int(0.9 * len(TEXT))


def test_too_high_a_loss_is_no_result(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds, loss = time_to_loss._train_weft({"train": TEXT, "val": TEXT}, minutes=0.01, work=tmp_path / "a")
    assert seconds > 0 and loss > time_to_loss.TARGET
    monkeypatch.setenv("NANOGPT", str(peer(tmp_path / "nano", "import time; time.sleep(9)")))
    monkeypatch.setattr(time_to_loss, "_train_weft", lambda *_, **__: (1.0, 2.5))
    with pytest.raises(UserError, match="0.01 minutes brought weft to 2.500, not to 1.88"):
        time_to_loss.run(options)


def test_weft_gets_as_many_minutes_as_it_needs(
    options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = {0.18: 1.95, 0.25: 1.87}
    monkeypatch.setenv("NANOGPT", str(peer(tmp_path / "nano", "import time; time.sleep(2)")))
    monkeypatch.setattr(
        time_to_loss,
        "_train_weft",
        lambda *_, minutes, **__: (time_to_loss.time.sleep(0.1) or minutes, losses[minutes]),
    )
    (row,) = time_to_loss.run(Options(data=options.data, work=options.work, minutes=None))
    assert row.weft == 0.25 and "--minutes 0.25" in row.weft_settings
