"""Means and maxima over the batches of an epoch."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regmix_bench.training.totals import EpochTotals
from regmix_bench.training.update import LENGTH, LONGEST
from regmix_bench.types import Batch


def batch(size: int, total: int | None = None) -> Batch:
    return Batch(torch.zeros(size, 1, 1, 1), torch.zeros(size), torch.arange(size), total)


def test_means_are_over_images_and_the_longest_is_of_all_batches() -> None:
    totals, held = EpochTotals(), {name: torch.zeros(()) for name in ("loss", LENGTH, LONGEST)}
    for size, loss, length, longest in ((3, 1.0, 0.5, 0.7), (1, 5.0, 0.9, 3.0), (2, 2.0, 0.1, 0.2)):
        # A recording returns the same tensors after each replay.
        for name, value in zip(held, (loss, length, longest), strict=True):
            held[name].fill_(value)
        totals.add(held, batch(size))
    assert totals.images == 6
    assert totals.finish() == pytest.approx({"loss": 2.0, LENGTH: 2.6 / 6, LONGEST: 3.0})


def test_images_of_other_processes_count() -> None:
    totals = EpochTotals()
    value: dict[str, Tensor] = {"loss": torch.ones(()), LONGEST: torch.ones(())}
    totals.add(value, batch(2, total=5))
    assert totals.images == 5
