"""Time to quality: whether weft, on its defaults, ends where a careful Hugging Face run does, and when.

Both are whole processes from raw text on, on one core each and at the same time. The peer's finished run is
kept in the work folder; where it is there already, the same run keeps the other core busy until weft ends.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from benchmarks import huggingface
from benchmarks.huggingface_training import Settings
from benchmarks.machine import on_core, processor, versions
from benchmarks.multi30k import batches, token_pairs
from benchmarks.report import Options, Row
from weft.errors import UserError

__all__ = ["run"]

MINUTES = 12.0
CHECKOUT = Path(__file__).resolve().parent.parent
PEER_CORE, WEFT_CORE = 0, 1


def run(options: Options) -> list[Row]:
    """The greedy validation BLEU at the end of both, and the time both took, where weft has the peer's."""
    if options.data is None:
        raise UserError("time_to_quality needs Multi30k: set WEFT_DATA to the folder of the public data sets")
    data, kept = options.data / "multi30k", options.work / "huggingface.json"
    finished = _read_json(kept) if kept.exists() else None
    if finished and not _is_todays(finished):
        finished = None
    settings = Settings(**finished["settings"]) if finished else _fastest_settings(data)
    minutes = options.minutes or MINUTES
    with _peer(settings, data=data, out=options.work / "again.json" if finished else kept) as peer:
        try:
            seconds, result = _train_weft(data, out=options.work / "weft", minutes=minutes)
        finally:  # the peer's hour is not for nothing even where weft fails
            if not finished:
                _expect_success(peer, log=kept.with_suffix(".log"))
                finished = _read_json(kept)
    return _rows(finished, result["scores"]["bleu"], seconds=seconds, minutes=minutes)


def _is_todays(finished: dict[str, Any]) -> bool:
    """Whether the peer's kept run is what this processor, with this software, would do again."""
    now, kept = Settings(), finished["settings"]
    return (
        bool(asdict(replace(now, dtype=kept["dtype"], attention=kept["attention"])) == kept)
        and processor() == finished["processor"]
        and versions() | {"weft": None} == finished["versions"] | {"weft": None}
    )


def _rows(peer: dict[str, Any], bleu: float, *, seconds: float, minutes: float) -> list[Row]:
    test = f"test BLEU with beam 5: {peer['test_bleu_beam_5']:.2f}"
    both = partial(
        Row,
        benchmark="time_to_quality",
        work="Multi30k de-en from raw text to a validated model, one core each",
        weft_settings=f"defaults, --minutes {minutes:g}",
        peer="Hugging Face",
        peer_settings=f"{Settings(**peer['settings'])}; {test}",
    )
    quality = both(what="greedy validation BLEU", unit="BLEU", weft=bleu, peer_value=peer["bleu"])
    time_taken = both(
        what=f"to validation BLEU {peer['bleu']:.1f}",
        unit="s",
        weft=seconds,
        peer_value=peer["seconds"],
        lower_is_better=True,
    )
    return [quality, time_taken] if bleu >= peer["bleu"] else [quality]


def _read_json(file: Path) -> dict[str, Any]:
    """A JSON object."""
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def _fastest_settings(data: Path) -> Settings:
    """The peer's settings, with what one core of this machine is fastest in."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    settings = Settings()
    pairs = token_pairs(data, size=settings.bpe)
    (batch,) = islice(batches(pairs, tokens=settings.batch_tokens, seed=0), 1)
    way = huggingface.fastest_training(settings.shape, batch, dropout=settings.dropout)
    torch.set_num_threads(threads)
    return replace(settings, dtype=str(way.dtype).removeprefix("torch."), attention=way.attention)


@contextmanager
def _peer(settings: Settings, *, data: Path, out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The peer's training at work on its core; whatever is left of it is ended at the end."""
    arguments = [
        argument
        for name, value in asdict(settings).items()
        if value is not None
        for argument in (f"--{name.replace('_', '-')}", str(value))
    ]
    module = [sys.executable, "-m", "benchmarks.huggingface_training"]
    command, environment = on_core(PEER_CORE, [*module, "--data", str(data), "--out", str(out), *arguments])
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=CHECKOUT
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _train_weft(data: Path, *, out: Path, minutes: float) -> tuple[float, dict[str, Any]]:
    """The seconds of the whole process, and what it says of its end."""
    if out.exists():
        shutil.rmtree(out)
    command, environment = on_core(
        WEFT_CORE,
        [
            *(str(Path(sys.executable).parent / "weft"), "train", "translate", "--json"),
            *("--train", str(data / "train.{de,en}.gz"), "--valid", str(data / "val.{de,en}")),
            *("--from", "de", "--to", "en", "--out", str(out), "--minutes", str(minutes)),
        ],
    )
    events = out.with_suffix(".jsonl")
    with events.open("wb") as output, out.with_suffix(".log").open("wb") as log:
        start = time.monotonic()
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=log)
        _expect_success(process, log=out.with_suffix(".log"))
        seconds = time.monotonic() - start
    last = json.loads(events.read_text(encoding="utf-8").splitlines()[-1])
    return seconds, last["result"]


def _expect_success(process: subprocess.Popen[bytes], *, log: Path) -> None:
    if process.wait():
        raise RuntimeError(f"process {process.pid} ended with status {process.returncode}: see {log}")
