"""Time to a loss: Tiny Shakespeare's characters, from the process' start to the loss that nanoGPT's recipe for CPUs ends at.

Both are whole processes, on one core each and at the same time; weft, which is done far sooner, several times over.
"""

import gzip
import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from threading import Thread

import numpy as np

from benchmarks.machine import on_core
from benchmarks.report import Options, Row
from weft.errors import UserError

__all__ = ["run"]

TARGET = 1.88  # what nanoGPT's README says of its recipe for CPUs
MINUTES = (0.18, 0.25, 0.35)  # for weft: the fewest of these that bring it there
TIMES = 3
PEER_CORE, WEFT_CORE = 0, 1
RECIPE = {  # of nanoGPT's README
    "device": "cpu",
    "compile": False,
    "eval_iters": 20,
    "log_interval": 100,
    "block_size": 64,
    "batch_size": 12,
    "n_layer": 4,
    "n_head": 4,
    "n_embd": 128,
    "max_iters": 2000,
    "lr_decay_iters": 2000,
    "dropout": 0.0,
}


def run(options: Options) -> list[Row]:
    """The seconds of nanoGPT's whole run, and those of a whole run of weft that ends with as low a loss."""
    peer = Path(os.environ.get("NANOGPT", ""))
    if options.data is None or not (peer / "train.py").is_file():
        raise UserError(
            "time_to_loss needs Tiny Shakespeare, in the folder that WEFT_DATA names, and a clone of nanoGPT in NANOGPT"
        )
    text = gzip.decompress((options.data / "tiny_shakespeare" / "input.txt.gz").read_bytes()).decode()
    begin = int(0.9 * len(text))
    parts = {"train": text[:begin], "val": text[begin:]}
    work = options.work / "time_to_loss"
    shutil.rmtree(work, ignore_errors=True)
    process, began = _start_peer(peer.resolve(), parts, work=work / "nanogpt"), time.monotonic()
    allowed = list((options.minutes,) if options.minutes else MINUTES)
    ends: list[float] = []
    watch = Thread(target=_note_end, args=(process, ends))
    watch.start()
    found: list[float] = []
    try:
        while process.poll() is None:
            seconds, loss = _train_weft(parts, minutes=allowed[0], work=work / "weft")
            if loss > TARGET and len(allowed) == 1:
                raise UserError(f"{allowed[0]:g} minutes brought weft to {loss:.3f}, not to {TARGET}")
            if loss > TARGET:
                del allowed[0]
                found.clear()
            elif process.poll() is None:
                found.append(seconds)
    finally:
        process.kill()
    watch.join()
    taken = ends[0] - began
    if process.returncode or len(found) < TIMES:
        raise UserError(f"nanoGPT failed, or was done too soon: see {work / 'nanogpt' / 'log.txt'}")
    return [
        Row(
            benchmark="time_to_loss",
            what=f"to a validation loss of {TARGET}",
            work="Tiny Shakespeare's characters, rows of 64, from a process' start, one core each",
            unit="s",
            weft=median(found),
            weft_settings=f"defaults, --minutes {allowed[0]:g}, language.length=64; of {len(found)} runs",
            peer="nanoGPT",
            peer_value=taken,
            peer_settings=f"its README's for CPUs; the last it says: {_last_loss(work / 'nanogpt' / 'log.txt')}",
            lower_is_better=True,
        )
    ]


def _last_loss(log: Path) -> str:
    """What nanoGPT said of its last validation."""
    said = [line for line in log.read_text("utf-8").splitlines() if "val loss" in line]
    return said[-1] if said else "nothing"


def _note_end(process: "subprocess.Popen[bytes]", ends: list[float]) -> None:
    process.wait()
    ends.append(time.monotonic())


def _start_peer(peer: Path, parts: dict[str, str], *, work: Path) -> subprocess.Popen[bytes]:
    """nanoGPT at work on its core, in a folder where it finds what it looks for."""
    data = work / "data" / "shakespeare_char"
    data.mkdir(parents=True)
    characters = sorted(set("".join(parts.values())))
    numbers = {character: number for number, character in enumerate(characters)}
    for name, text in parts.items():
        np.array([numbers[character] for character in text], dtype=np.uint16).tofile(data / f"{name}.bin")
    meta = {"vocab_size": len(characters), "stoi": numbers, "itos": dict(enumerate(characters))}
    (data / "meta.pkl").write_bytes(pickle.dumps(meta))
    (work / "configurator.py").symlink_to(peer / "configurator.py")
    settings = [f"--{name}={value}" for name, value in RECIPE.items()]
    script = [sys.executable, str(peer / "train.py"), str(peer / "config" / "train_shakespeare_char.py")]
    command, environment = on_core(PEER_CORE, [*script, *settings])
    with (work / "log.txt").open("wb") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=work)


def _train_weft(parts: dict[str, str], *, minutes: float, work: Path) -> tuple[float, float]:
    """Seconds of a whole `weft train`, and the loss that it ends with."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for name, text in parts.items():
        (work / f"{name}.txt").write_text(text, encoding="utf-8")
    files = ["--train", str(work / "train.txt"), "--valid", str(work / "val.txt"), "--out", str(work / "run")]
    settings = ["--tokenizer", "characters", "--set", "language.length=64", "--minutes", str(minutes)]
    module = [sys.executable, "-m", "weft", "train", "language-model", "--json"]
    command, environment = on_core(WEFT_CORE, [*module, *files, *settings])
    began = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise UserError(f"weft train failed: {done.stderr[-2000:]}")
    return seconds, json.loads(done.stdout.splitlines()[-1])["result"]["loss"]
