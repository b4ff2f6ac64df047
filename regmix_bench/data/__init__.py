"""The sources of images: named datasets, array files, image folders, and their way to the device.

Naming and validating a dataset needs no torch; what puts it on a device is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from regmix_bench.data.dataset import Dataset
from regmix_bench.data.sources import DATASETS, canonical_name, load_dataset

if TYPE_CHECKING:
    from regmix_bench.data.batches import Batches
    from regmix_bench.data.run_data import (
        EvalData,
        RunData,
        TrainingData,
        load_data,
        prepare,
        prepare_eval,
        prepare_training,
    )

__all__ = [
    "DATASETS",
    "Batches",
    "Dataset",
    "EvalData",
    "RunData",
    "TrainingData",
    "canonical_name",
    "load_data",
    "load_dataset",
    "prepare",
    "prepare_eval",
    "prepare_training",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from regmix_bench.data import run_data

        return getattr(run_data, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
