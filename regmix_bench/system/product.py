"""The speed of a large matrix product on a device: what the FLOP/s of a training are a share of."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Literal, NamedTuple

import torch

#: Seconds that are spent on measuring, once products are warm.
SECONDS = 0.1


class ProductSpeed(NamedTuple):
    """FLOP/s of the fastest large product that was timed, and the precision it was computed in."""

    precision: Literal["fp32", "bf16"]
    flop_per_second: float


@cache
def product_speed(device: torch.device) -> ProductSpeed | None:
    """Time large products on ``device``, once in a process; None where memory does not suffice.

    In bf16, with sums in float32, on a CUDA device whose hardware has it, and else in fp32. The
    fastest counts, as other work on the device slows the rest; numbers are random, since a product
    of zeros draws less power and runs faster.
    """
    cuda = device.type == "cuda"
    bf16 = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    n = (8192 if bf16 else 4096) if cuda else 768
    generator = torch.Generator(device).manual_seed(0)
    dtype = torch.bfloat16 if bf16 else torch.float32
    try:
        factor, product = (
            torch.randn(n, n, dtype=dtype, device=device, generator=generator) for _ in range(2)
        )
        timed = _timed_on_cuda if cuda else _timed
        seconds = timed(lambda: torch.mm(factor, factor, out=product))
    except torch.OutOfMemoryError:
        return None
    return ProductSpeed("bf16" if bf16 else "fp32", 2 * n**3 / seconds)


def _timed(multiply: Callable[[], object]) -> float:
    """The seconds of the fastest of as many products as there is time for."""
    multiply()
    fastest, ends = float("inf"), time.perf_counter() + SECONDS
    while (started := time.perf_counter()) < ends:
        multiply()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest


def _timed_on_cuda(multiply: Callable[[], object]) -> float:
    """The same by the clock of the device, in rows of products that keep it from idling."""
    row = 8
    multiply()
    torch.cuda.synchronize()
    fastest, ends = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < ends:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(row):
            multiply()
        end.record()
        end.synchronize()
        fastest = min(fastest, begin.elapsed_time(end) / 1000 / row)
    return fastest
