"""A dataset in memory, and the digest that identifies its content."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[Any]
Labels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels of one dataset, as arrays in main memory.

    Images are (N, C, H, W), either uint8 in 0 to 255 or float32 in [0, 1]. Labels are (N,) int64,
    each the position of its class in ``classes``. ``validation`` is the part that the source itself
    sets aside, if any.
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]
    validation: tuple[Images, Labels] | None = None

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of every image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by their key names in an array file, in a fixed order."""
        named: dict[str, NDArray[Any]] = {
            "train_images": self.train_images,
            "train_labels": self.train_labels,
            "test_images": self.test_images,
            "test_labels": self.test_labels,
        }
        if self.validation is not None:
            named["val_images"], named["val_labels"] = self.validation
        return named

    @cached_property
    def digest(self) -> str:
        """Digest of all arrays, their shapes and dtypes, and the class names: SHA-256 in hex."""
        arrays = self.arrays()
        layout = {key: [array.dtype.str, array.shape] for key, array in arrays.items()}
        hashed = hashlib.sha256(json.dumps([layout, self.classes]).encode())
        for array in arrays.values():
            hashed.update(np.ascontiguousarray(array).data)
        return hashed.hexdigest()


def faults(dataset: object) -> list[str]:
    """Return what keeps a source's data from being a :class:`Dataset`, one predicate each."""
    if not isinstance(dataset, Dataset):
        return [f"it is a {type(dataset).__name__}, not a Dataset"]
    found = []
    for split in ("train", "test", "val"):
        if f"{split}_images" in dataset.arrays():
            images, labels = (dataset.arrays()[f"{split}_{part}"] for part in ("images", "labels"))
            found += [f"{split}_{fault}" for fault in _split_faults(images, labels, dataset)]
    return found


def _split_faults(images: Any, labels: Any, dataset: Dataset) -> list[str]:
    if not (isinstance(images, np.ndarray) and isinstance(labels, np.ndarray)):
        return ["images and labels are no NumPy arrays"]
    if images.ndim != 4 or 0 in images.shape:
        return [f"images have the shape {images.shape}, not (N, C, H, W)"]
    found = []
    if images.shape[1:] != dataset.train_images.shape[1:]:
        expected = dataset.train_images.shape[1:]
        found.append(f"images are {images.shape[1:]}, and those of training {expected}")
    if images.dtype not in (np.uint8, np.float32):
        found.append(f"images are {images.dtype}, not uint8 or float32")
    elif images.dtype == np.float32 and not (images.min() >= 0 and images.max() <= 1):
        found.append(f"images span {images.min():g} to {images.max():g}, not 0 to 1")
    if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
        expected = images.shape[:1]
        found.append(f"labels are {labels.dtype} {labels.shape}, not int64 {expected}")
    elif labels.min() < 0 or labels.max() >= dataset.num_classes:
        span = f"{labels.min()} to {labels.max()}"
        found.append(f"labels span {span}, and there are {dataset.num_classes} classes")
    return found
