"""A dataset in memory, and the digest that identifies its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regmix_bench.errors import UserError

Images = NDArray[Any]
Labels = NDArray[np.int64]

#: No uint8 data set is as dark as this, unless it means other units.
DARKEST = 16


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and labels of one dataset, as arrays in main memory.

    Images are (N, C, H, W), either uint8 in 0 to 255 or float32 in [0, 1]. Labels are (N,) int64,
    each the position of its class in ``classes``, which is empty where the labels are all that is
    known of the classes. Data that are for scoring alone have training arrays of length 0.
    ``validation`` is the part that the source itself sets aside, if any.
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
        """Number of classes, or of those that the labels of the test set need."""
        return len(self.classes) or 1 + int(self.test_labels.max())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of every image."""
        known = self.train_images if len(self.train_images) else self.test_images
        channels, height, width = known.shape[1:]
        return channels, height, width

    def arrays(self, *, tested: bool = True) -> dict[str, NDArray[Any]]:
        """Return the arrays by their key names in an array file, in a fixed order.

        Unless ``tested``, those of the test set are left out, and not looked at.
        """
        named: dict[str, NDArray[Any]] = {
            "train_images": self.train_images,
            "train_labels": self.train_labels,
        }
        if tested:
            named |= {"test_images": self.test_images, "test_labels": self.test_labels}
        if self.validation is not None:
            named["val_images"], named["val_labels"] = self.validation
        return named

    @cached_property
    def digest(self) -> str:
        """Digest of all arrays, their shapes and dtypes, and the class names: SHA-256 in hex."""
        return self._digest(self.arrays())

    @cached_property
    def training_digest(self) -> str:
        """The same of what is trained and validated on, without a look at the test set."""
        return self._digest(self.arrays(tested=False))

    def _digest(self, arrays: Mapping[str, NDArray[Any]]) -> str:
        layout = {key: [array.dtype.str, array.shape] for key, array in arrays.items()}
        hashed = hashlib.sha256(json.dumps([layout, self.classes]).encode())
        for array in arrays.values():
            hashed.update(np.ascontiguousarray(array).data)
        return hashed.hexdigest()


def check_scale(where: str, *parts: Images) -> None:
    """Raise :class:`UserError` for uint8 images so dark that 255 cannot be their white.

    A user who saves black and white as 0 and 1, or sixteen greys as 0 to 16, means other units, and
    dividing by 255 would make all of them black.
    """
    brightest = max((int(part.max()) for part in parts if part.dtype == np.uint8), default=0)
    if 0 < brightest <= DARKEST:
        raise UserError(
            f"{where} hold 0 to {brightest} alone, and 255 is white in uint8: scale them to 255, or"
            " save them as float in [0, 1]"
        )


def check_trainable(name: str, labels: Labels, classes: tuple[str, ...]) -> None:
    """Raise :class:`UserError` unless the training labels (N,) of a data set hold every class."""
    if not len(labels):
        raise UserError(
            f"{name} has no training images: a run needs them, and eval scores a model without"
        )
    lacking = np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0)
    if len(lacking):
        first, last = classes[lacking[0]], classes[lacking[-1]]
        which = f"class {first!r} of {name} has no training image"
        if len(lacking) > 1:
            which = (
                f"{len(lacking)} classes of {name}, {first!r} to {last!r}, have no training image"
            )
        raise UserError(f"{which}: a run needs some of every class, and eval scores without")


def faults(dataset: object, *, tested: bool = True) -> list[str]:
    """Return what keeps a source's data from being a :class:`Dataset`, one predicate each.

    Unless ``tested``, the test set is not looked at.
    """
    if not isinstance(dataset, Dataset):
        return [f"it is a {type(dataset).__name__}, not a Dataset"]
    found, arrays = [], dataset.arrays(tested=tested)
    for split in ("train", "test", "val"):
        if f"{split}_images" in arrays:
            images, labels = (arrays[f"{split}_{part}"] for part in ("images", "labels"))
            if split == "train" and not len(images) + len(labels):
                continue
            found += [f"{split}_{fault}" for fault in _split_faults(images, labels, dataset)]
    return found


def _split_faults(images: Any, labels: Any, dataset: Dataset) -> list[str]:
    if not (isinstance(images, np.ndarray) and isinstance(labels, np.ndarray)):
        return ["images and labels are no NumPy arrays"]
    if images.ndim != 4 or 0 in images.shape:
        return [f"images have the shape {images.shape}, not (N, C, H, W)"]
    found = []
    known = dataset.train_images if len(dataset.train_images) else images
    if images.shape[1:] != known.shape[1:]:
        expected = known.shape[1:]
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
