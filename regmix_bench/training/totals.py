"""Sums of the values that the steps of an epoch return, added up on the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from regmix_bench.distributed.collectives import all_max, all_sum
from regmix_bench.training.update import LONGEST
from regmix_bench.types import Batch


class EpochTotals:
    """Means over the images of an epoch, and the longest perturbation; of a whole group.

    The host waits for the device only in :meth:`finish`. ``images`` counts those of all processes.
    """

    def __init__(self) -> None:
        self.images = 0
        self._sums: dict[str, Tensor] = {}
        self._longest: Tensor | None = None

    def add(self, values: Mapping[str, Tensor], batch: Batch) -> None:
        """Take in what the step on ``batch`` returned, scalars that the next may overwrite."""
        self.images += batch.total or len(batch.y)
        for name, value in values.items():
            if name == LONGEST:
                before = value if self._longest is None else self._longest
                self._longest = torch.maximum(before, value)
                continue
            part = value * len(batch.y)
            self._sums[name] = self._sums[name] + part if name in self._sums else part

    def finish(self) -> dict[str, float]:
        """Return the means by name, and the maximum; every process of a group has to ask."""
        assert self._longest is not None
        means = all_sum(torch.stack([value.double() for value in self._sums.values()]))
        found = [*(means / self.images).tolist(), all_max(self._longest).item()]
        return dict(zip((*self._sums, LONGEST), found, strict=True))
