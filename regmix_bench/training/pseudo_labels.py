"""Pseudo-labels as they lie in a run's folder, so that a run that goes on has the same ones."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from regmix_bench.notation import read_json
from regmix_bench.records.schema import Cost
from regmix_bench.system.files import atomic_write
from regmix_bench.system.reading import read_bytes
from regmix_bench.types import Frozen

FILE = "pseudo-labels.json"


class PseudoLabels(Frozen):
    """The labels of the images without one, in their order, and what they cost."""

    labels: tuple[int, ...]
    cost: Cost

    def tensor(self) -> Tensor:
        """Return the labels (U,) int64."""
        return torch.tensor(self.labels, dtype=torch.int64)

    def agreement(self, hidden: Tensor) -> float | None:
        """Return the share (0 to 1) of ``hidden`` labels, those of the first images, that it hits.

        None where no label is hidden.
        """
        if not len(hidden):
            return None
        return (self.tensor()[: len(hidden)] == hidden).double().mean().item()

    def write(self, directory: Path) -> None:
        """Write them into ``directory``."""
        with atomic_write(directory / FILE) as stream:
            stream.write(self.model_dump_json().encode())

    @classmethod
    def read(cls, directory: Path, n: int, num_classes: int) -> PseudoLabels | None:
        """Return those of ``n`` images in ``directory``, if they are there and whole."""
        try:
            found = cls.model_validate(read_json(read_bytes(directory / FILE)))
        except (OSError, ValueError):  # which that of pydantic is too
            return None
        fit = len(found.labels) == n and all(0 <= label < num_classes for label in found.labels)
        return found if fit else None
