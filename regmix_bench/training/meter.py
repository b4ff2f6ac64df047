"""The work of each epoch, measured around its steps."""

from __future__ import annotations

import time

import torch

from regmix_bench.distributed.collectives import gathered
from regmix_bench.records.schema import MatrixProduct, Work
from regmix_bench.system.energy import device_energy
from regmix_bench.system.product import ProductSpeed, product_speed


class WorkMeter:
    """Measures what epochs do on ``device``, in a group all its processes on theirs.

    ``flop_per_image`` are those of a training step; None where nobody counted them. It is made
    before the first epoch, as it times a matrix product for a moment, and memory counts from then.
    """

    def __init__(self, device: torch.device, flop_per_image: float | None) -> None:
        self.device, self.flop_per_image = device, flop_per_image
        self.product = _sum(gathered(product_speed(device)))
        self._energy = device_energy(device)
        self._before: float | None = None
        self._worked = 0.0
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def start(self) -> None:
        """Begin an epoch."""
        self._before = self._energy()
        self._worked = time.process_time()

    def stop(self, images: int, passes: int) -> Work:
        """Return the work since :meth:`start`: ``images`` and ``passes`` are of the whole group."""
        worked = time.process_time() - self._worked
        energy = _difference(self._before, self._energy())
        cuda = self.device.type == "cuda"
        memory = torch.cuda.max_memory_allocated(self.device) if cuda else None
        memories, energies, works = zip(*gathered((memory, energy, worked)), strict=True)
        return Work(
            images=images,
            passes=passes,
            flop=None if self.flop_per_image is None else images * self.flop_per_image,
            product=self.product,
            peak_memory=max((found for found in memories if found is not None), default=None),
            energy=None if None in energies else sum(energies),
            processor_seconds=None if cuda else sum(works),
        )


def _difference(before: float | None, after: float | None) -> float | None:
    """What a counter has counted, unless it began anew."""
    if before is None or after is None or after < before:
        return None
    return after - before


def _sum(speeds: list[ProductSpeed | None]) -> MatrixProduct | None:
    """The product of all devices together, if each has been timed."""
    timed = [speed for speed in speeds if speed is not None]
    if len(timed) < len(speeds):
        return None
    total = sum(speed.flop_per_second for speed in timed)
    return MatrixProduct(precision=timed[0].precision, flop_per_second=total)
