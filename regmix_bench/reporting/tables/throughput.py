"""The columns of a comparison that say how fast trainings went, and on how much of a device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

from regmix_bench.analysis.blocks import Block
from regmix_bench.records.schema import MatrixProduct, Work
from regmix_bench.reporting.values import Cell, Column, Scale, alike, averaged

_RATES: tuple[tuple[str, str, Scale, Literal["higher", "lower"]], ...] = (
    ("preparation_seconds", "Prep. min", "seconds", "lower"),
    ("images_per_second", "Images/s", "plain", "higher"),
    ("flop_per_second", "TFLOP/s", "flop_per_second", "higher"),
    ("mfu", "MFU", "share", "higher"),
    ("peak_memory", "Mem. GiB", "bytes", "lower"),
    ("energy", "Train Wh", "joules", "lower"),
)


def throughput_columns(block: Block) -> Iterator[tuple[Column, list[Cell]]]:
    """Yield the rates of training, its memory and energy, as far as any row has them."""
    for metric, header, scale, better in _RATES:
        cells = alike([averaged(row.metrics.get(metric), scale) for row in block.rows])
        if any(cell.value for cell in cells):  # a preparation of no time is none
            yield Column(metric, header, "number", better), cells


def throughput_notes(block: Block) -> Iterator[str]:
    """Yield what the columns mean, where there are any, and what MFU is a share of."""
    works = [
        log.work
        for row in block.rows
        for run, _ in row.scores
        for log in run.record.history
        if log.work is not None
    ]
    if works:
        yield " ".join(_sentences(works))


def _sentences(works: list[Work]) -> Iterator[str]:
    yield (
        "Images/s, TFLOP/s: of training steps, without validation, compilation and capture of CUDA"
        " graphs (Prep.); convolutions and matrix products are counted, those of attacks too."
    )
    if products := [work.product for work in works if work.product is not None]:
        yield (
            "MFU: model FLOPs utilisation, here the percentage of the FLOP/s of a large matrix"
            f" product on the same device, which were timed ({_speeds(products)})."
        )
    if any(work.peak_memory for work in works):
        yield "Mem.: the most that tensors took of a device's memory."
    if any(work.energy for work in works):
        yield "Wh: of the whole devices during training steps, whatever else ran on them."


def _speeds(products: Iterable[MatrixProduct]) -> str:
    """TFLOP/s by precision, as a range where they differ."""
    found: dict[str, list[float]] = {}
    for product in products:
        found.setdefault(product.precision, []).append(product.flop_per_second / 1e12)
    ends = {name: (f"{min(speeds):.3g}", f"{max(speeds):.3g}") for name, speeds in found.items()}
    return ", ".join(
        f"{name}: {' to '.join(dict.fromkeys(pair))} TFLOP/s" for name, pair in ends.items()
    )
