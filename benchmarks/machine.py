"""The machine at hand: what it is, what it is fast in, and how to run something on one core of it."""

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

__all__ = [
    "describe_machine",
    "fast_dtypes",
    "matmul_precision",
    "on_core",
    "on_cores",
    "processor",
    "seconds_of",
    "seconds_since_start",
    "versions",
]

PEERS = ("torch", "transformers", "ctranslate2", "tokenizers", "sacrebleu", "numpy")
OPTIONAL = ("onnx", "onnxruntime")


def versions() -> dict[str, str]:
    """Of weft, of the peers, and of what both stand on."""
    there = [name for name in OPTIONAL if find_spec(name)]
    return {name: version(name) for name in ("weft", *PEERS, *there)} | {"python": platform.python_version()}


def describe_machine() -> str:
    """Processor, cores, and the threads that torch uses, in one line."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{processor()}, {torch.backends.cpu.get_cpu_capability()}, {cores} cores, "
        f"{torch.get_num_threads()} torch threads, {platform.system()} {platform.release()}"
    )


def processor() -> str:
    """The processor's name, and its family and model where the name says little."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text(encoding="utf-8").splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    family = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("cpu family", "model\t"))]
    return f"{names[0]} (family {family[0]}, model {family[1]})" if names else platform.processor()


def fast_dtypes() -> list[torch.dtype]:
    """What is worth trying here: float32, and bfloat16 unless its products of matrices are clearly slower."""
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        matrix = torch.randn(256, 256).to(dtype)
        seconds[dtype] = seconds_of(partial(torch.mm, matrix, matrix), times=3)
    slow = seconds[torch.bfloat16] > 2 * seconds[torch.float32]
    return [torch.float32] if slow else [torch.float32, torch.bfloat16]


def seconds_of(call: Callable[[], object], *, times: int) -> float:
    """The fewest seconds that the call took, after one that is not counted."""
    call()
    fewest = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        call()
        fewest = min(fewest, time.perf_counter() - start)
    return fewest


@contextmanager
def matmul_precision(precision: str) -> Iterator[None]:
    """Float32 products of matrices at this precision, for one side of a comparison only."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Both sides of a comparison kept to this many cores: torch's threads, and all that start meanwhile."""
    allowed, threads = os.sched_getaffinity(0), torch.get_num_threads()
    torch.set_num_threads(count)
    if count < len(allowed):
        os.sched_setaffinity(0, sorted(allowed)[-count:])
    try:
        yield
    finally:
        if count < len(allowed):
            os.sched_setaffinity(0, allowed)
        torch.set_num_threads(threads)


def on_core(core: int, command: list[str]) -> tuple[list[str], dict[str, str]]:
    """The command and the environment that keep a process to one core and one thread."""
    pinned = ["taskset", "-c", str(core), *command] if shutil.which("taskset") else command
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"), "1")
    return pinned, dict(os.environ) | threads


def seconds_since_start() -> float:
    """How long this process has been running, its own start-up included."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
