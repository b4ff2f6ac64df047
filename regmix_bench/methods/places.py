"""Perturbations that belong to places in the batch, as methods carry them from step to step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from regmix_bench.distributed.collectives import Sharding, share
from regmix_bench.types import Batch

if TYPE_CHECKING:
    from torch import Tensor


class PlacedPerturbations:
    """One perturbation (C, H, W) for each of ``places`` in a whole batch, float32, first 0.

    A smaller batch has the first of them. In a group each process holds its share, and every method
    is to be called by all processes.
    """

    def __init__(self, places: int, shape: tuple[int, int, int], device: torch.device) -> None:
        self._shards = Sharding(places)
        self._all = torch.arange(places, device=device)
        self.rows = self._shards.zeros(shape, device, torch.float32)

    def of(self, batch: Batch) -> Tensor:
        """Return those of the images of ``batch`` (B, C, H, W), in their dtype."""
        return self._shards.take(self.rows, *self._here(batch), batch.x.dtype)

    def put(self, batch: Batch, delta: Tensor) -> None:
        """Store ``delta`` (B, C, H, W) at the places of ``batch``."""
        self._shards.put(self.rows, *self._here(batch), delta)

    def _here(self, batch: Batch) -> tuple[Tensor, int]:
        """The places of the images that are here, and the number of all."""
        total = batch.total or len(batch.x)
        return self._all[:total][share(total)], total

    def state_dict(self) -> dict[str, Tensor]:
        """Return all rows in the first process, and none in the others."""
        return {"delta": self._shards.gather(self.rows)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore a saved state, whatever the number of processes."""
        self._shards.load(self.rows, state["delta"])
