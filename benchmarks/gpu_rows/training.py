"""Rows of training steps: against the plain loop, against a matrix product, against the floor."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

import floor
import torch
from gpu_rows.bench import Bench
from gpu_rows.table import Figure
from steps import Setting, ours, prepared, theirs, timed

from regmix_bench.system.machine import default_precision
from regmix_bench.system.product import product_speed
from regmix_bench.training.flops import FlopCounter

METHODS = ("regmix", "fgsm-pgi", "trades", "pgd-at", "mart")


def _setting(bench: Bench, batch_size: int) -> Setting:
    device = bench.device
    return Setting(
        bench.scale.arch,
        batch_size,
        device,
        default_precision("cuda" if device.type == "cuda" else "cpu"),
        bench.execution,
        (3, bench.scale.sizes.side, bench.scale.sizes.side),
    )


def _several(step: Callable[[], object], n: int) -> Callable[[], None]:
    def steps() -> None:
        for _ in range(n):
            step()

    return steps


def against_plain(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Our step and the papers' plain loop under torch's defaults, in turn."""
    where, n = _setting(bench, bench.scale.batches[0]), bench.scale.repeats
    for name in METHODS:
        step = ours(name, where)
        sides = {"plain": _several(theirs(name, where), n), "ours": _several(step, n)}
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for side in sides.values():
            side()  # caches, kernel choices
        for number in range(bench.scale.rounds):
            for side in list(sides)[:: -1 if number % 2 else 1]:
                seconds[side].append(timed(sides[side], where.device) / n)
        ratios = [a / b for a, b in zip(seconds["plain"], seconds["ours"], strict=True)]
        plain, fast = (statistics.median(seconds[side]) for side in sides)
        bench.step_seconds[name] = fast
        note = (
            f"plain {1000 * plain:.1f} ms, ours {1000 * fast:.1f} ms,"
            f" {where.batch_size / fast:,.0f} images/s, ratios {min(ratios):.2f}–{max(ratios):.2f}"
        )
        yield f"step-{name}", Figure(statistics.median(ratios), note, {"seconds": seconds})


def of_product(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """FLOP/s of RegMix's steps as a share of those of a large product on this device."""
    speed = product_speed(bench.device)
    if speed is None:
        raise RuntimeError("no memory for the product")
    for row, batch_size in zip(("product-128", "product-512"), bench.scale.batches, strict=True):
        where = _setting(bench, batch_size)
        training, executed = prepared("regmix", where)
        with FlopCounter() as counted:
            training.loss(executed).backward()
        step = ours("regmix", where)
        _several(step, 3)()
        n = bench.scale.repeats
        rounds = [timed(_several(step, n), where.device) / n for _ in range(bench.scale.rounds)]
        seconds = statistics.median(rounds)
        rate = counted.flop / seconds
        note = (
            f"{rate / 1e12:.4g} of {speed.flop_per_second / 1e12:.4g} TFLOP/s ({speed.precision}),"
            f" {1000 * seconds:.1f} ms, {batch_size / seconds:,.0f} images/s"
        )
        details = {"flop": counted.flop, "product": speed.flop_per_second, "seconds": rounds}
        yield row, Figure(100 * rate / speed.flop_per_second, note, details)


def of_floor(bench: Bench) -> Iterator[tuple[str, Figure]]:
    """Our step over the bare passes that it needs, both as they are executed."""
    where = _setting(bench, bench.scale.batches[0])
    for name in METHODS:
        ratios = floor.measure(name, where, bench.scale.rounds, lambda line: None)
        note = f"{min(ratios):.3f}–{max(ratios):.3f}"
        yield f"floor-{name}", Figure(statistics.median(ratios), note, {"ratios": ratios})
        if where.device.type == "cuda":
            torch.cuda.empty_cache()
