"""Work in the precision that the machine is fast in, found by measuring."""

import time
from functools import cache

import torch

__all__ = ["fast_dtype", "matmul_flops", "training_dtype"]

SIDE = 256
TRIALS = 5


@cache
def fast_dtype(device_type: str) -> torch.dtype:
    """bfloat16 where its products are faster than float32's, else float32.

    A GPU that has bfloat16 is fast in it. A processor may have it in name only, and be a hundred times slower: there one
    small product of each kind is timed, once for a process.
    """
    if device_type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    seconds = {dtype: _time_product(device_type, dtype) for dtype in (torch.float32, torch.bfloat16)}
    return min(seconds, key=lambda dtype: seconds[dtype])


def training_dtype(precision: str, device_type: str) -> torch.dtype:
    """The number format of the products in training: the one that is named, or for "auto" the fast one."""
    dtype: torch.dtype = fast_dtype(device_type) if precision == "auto" else getattr(torch, precision)
    return dtype


def _time_product(device_type: str, dtype: torch.dtype) -> float:
    matrix = torch.ones(SIDE, SIDE, dtype=dtype, device=device_type)
    times = []
    for _ in range(TRIALS):
        begin = time.perf_counter()
        (matrix @ matrix).sum().item()  # the sum waits for the device
        times.append(time.perf_counter() - begin)
    return min(times)


def matmul_flops(device_type: str) -> float:
    """The products of matrices that the machine does in its fast precision, in FLOP/s."""
    return 2 * SIDE**3 / _time_product(device_type, fast_dtype(device_type))
