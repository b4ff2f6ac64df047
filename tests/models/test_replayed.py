"""A replayed model answers as the model itself does, whatever an attack does to it."""

from __future__ import annotations

import pytest

from regmix_bench.models.replayed import padded_sizes


@pytest.mark.parametrize("largest", [1, 2, 7, 200, 500, 1024])
def test_batches_are_filled_up_by_little(largest: int) -> None:
    sizes = padded_sizes(largest)
    assert sizes[0] == 1 and sizes[-1] == largest and len(set(sizes)) == len(sizes)
    padded = [next(s for s in sizes if s >= n) / n for n in range(1, largest + 1)]
    assert max(padded) <= 1.1 and sum(padded) / largest <= 1.05
