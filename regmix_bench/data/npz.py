"""Array files with the key names of MedMNIST (Yang et al. 2023)."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regmix_bench.data.dataset import Dataset, Images, Labels, check_scale
from regmix_bench.errors import UserError
from regmix_bench.specs.components import shown_classes
from regmix_bench.system.archives import open_archive

SPLITS = ("train", "test", "val")

#: The key of what the classes are called, which no number follows from.
CLASS_NAMES = "class_names"

#: Grey, grey with alpha, colour, colour with alpha; more are slices of a volume.
MOST_CHANNELS = 4

MOST_CLASSES = 100_000


def read_npz(path: Path) -> Dataset:
    """Read and check ``test_images``, ``test_labels`` and, where present, ``train_*``, ``val_*``.

    Without ``test_*``, ``val_*`` are the test set; without ``train_*``, the data are for scoring
    alone; ``train_*`` and ``val_*`` of no images are as good as none. Images are (N, H, W) or
    (N, H, W, C) with 1 to 4 channels, uint8 or float in [0, 1]; labels are (N,) or (N, 1), integers
    from 0. Raises :class:`UserError` naming the key and what is wrong with it; pickled objects are
    refused.
    """
    arrays = _read_arrays(path)
    splits = {split: _split(path, split, arrays) for split in SPLITS if _is_there(split, arrays)}
    if not splits.keys() & {"test", "val"}:
        raise UserError(f"{path} has no test images: its val_images are none")
    (first, (expected, _)), *others = splits.items()
    for split, (images, _) in others:
        if images.shape[1:] != expected.shape[1:]:
            raise UserError(
                f"{path}: {split}_images are {images.shape[1:]} (C, H, W)"
                f" and {first}_images {expected.shape[1:]}"
            )
    check_scale(f"{path}: the images", *(images for images, _ in splits.values()))
    highest = max(int(labels.max()) for _, labels in splits.values())
    if "test" not in splits:
        splits["test"] = splits.pop("val")
    nothing = expected[:0], np.zeros(0, np.int64)
    train_images, train_labels = splits.get("train", nothing)
    return Dataset(
        name=path.stem,
        train_images=train_images,
        train_labels=train_labels,
        test_images=splits["test"][0],
        test_labels=splits["test"][1],
        classes=tuple(map(str, range(max(2, highest + 1)))) if "train" in splits else (),
        validation=splits.get("val"),
    )


def read_class_names(path: Path) -> tuple[str, ...]:
    """Return what ``class_names`` calls the classes, by label; () where a file has no such key.

    ``path`` is a file that :func:`read_npz` takes. Raises :class:`UserError` for anything but
    texts, one for each class that labels name.
    """
    key = CLASS_NAMES
    try:
        with open_archive(path) as archive:
            held = {name.removesuffix(".npy") for name in archive.namelist()}
            if key not in held:
                return ()
            names = _read_array(archive, key)
            labelled = {f"{split}_labels" for split in SPLITS} & held
            labels = [_read_array(archive, each) for each in labelled]
    except Exception as error:
        mend = ": save them as numpy.array(names, dtype=str)" if "Object" in str(error) else ""
        raise UserError(f"cannot read {path}, {key}: {error}{mend}") from error
    if names.ndim != 1 or names.dtype.kind != "U":
        raise UserError(f"{path}: {key} is {names.dtype} {names.shape}: expected texts, by label")
    if len(names) <= (highest := max(int(part.max()) for part in labels if part.size)):
        raise UserError(f"{path}: {key} names {len(names)} classes, and labels go up to {highest}")
    return shown_classes(map(str, names))


def read_image_array(path: Path, keys: Sequence[str]) -> Images:
    """Read and check the images (N, C, H, W) of the first of ``keys`` that a file has, alone.

    Raises :class:`UserError` as :func:`read_npz` does.
    """
    arrays = _read_arrays(path, lambda held: [next((k for k in keys if k in held), keys[0])])
    ((key, array),) = arrays.items()
    return _images(f"{path}: {key}", array)


def _split_keys(held: Sequence[str]) -> list[str]:
    """Return the keys that a file of a data set needs; ``held`` are those that it has."""
    pairs = [(f"{split}_images", f"{split}_labels") for split in SPLITS]
    # Validation images may stand for those of the test, and training images for none.
    keys = list(chain.from_iterable(pair for pair in pairs if set(pair) & set(held)))
    if not {"test_images", "val_images"} & set(keys):
        keys += pairs[1]
    return keys


def _read_arrays(
    path: Path, choose: Callable[[Sequence[str]], list[str]] = _split_keys
) -> dict[str, NDArray[Any]]:
    """Read the arrays whose keys ``choose`` says, given those that a file has."""
    key = ""
    try:
        with open_archive(path) as archive:
            held = [name.removesuffix(".npy") for name in archive.namelist()]
            keys = choose(held)
            if missing := [key for key in keys if key not in held]:
                raise UserError(
                    f"{path} has no {missing[0]!r}: it holds {', '.join(held) or 'nothing'}"
                )
            arrays = {}
            for key in keys:
                arrays[key] = _read_array(archive, key)
            return arrays
    except UserError:
        raise
    except Exception as error:  # of a damaged or foreign file numpy may raise anything
        if isinstance(error, zipfile.BadZipFile) and not key:
            raise UserError(
                f"{path} is not an .npz file, or is truncated: numpy.savez writes one"
            ) from error
        said = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read {path}{f', {key}' if key else ''}: {said}") from error


def _read_array(archive: zipfile.ZipFile, key: str) -> NDArray[Any]:
    with archive.open(f"{key}.npy") as member:
        array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        if member.read(1):  # to the end, where the checksum is asked
            raise ValueError("it holds more than an array")
        return array


def _is_there(split: str, arrays: dict[str, NDArray[Any]]) -> bool:
    """Whether a file has a split; of training and validation, empty arrays say that it has none."""
    held = [arrays[key] for part in ("images", "labels") if (key := f"{split}_{part}") in arrays]
    return bool(held) and (split == "test" or any(array.size for array in held))


def _split(path: Path, split: str, arrays: dict[str, NDArray[Any]]) -> tuple[Images, Labels]:
    images = _images(f"{path}: {split}_images", arrays[f"{split}_images"])
    labels = _labels(f"{path}: {split}_labels", arrays[f"{split}_labels"])
    if len(images) != len(labels):
        raise UserError(
            f"{path}: {split}_images has {len(images)} images"
            f" and {split}_labels {len(labels)} labels"
        )
    return images, labels


def _images(where: str, images: NDArray[Any]) -> Images:
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise UserError(f"{where} has shape {images.shape}: expected (N, H, W) or (N, H, W, C)")
    if images.ndim == 4 and images.shape[1] <= 4 < images.shape[3]:
        raise UserError(f"{where} has shape {images.shape}, channels first: expected (N, H, W, C)")
    if images.ndim == 4 and images.shape[3] > MOST_CHANNELS:
        raise UserError(
            f"{where} has shape {images.shape}, and images have 1 to {MOST_CHANNELS} channels:"
            f" volumes of {images.shape[3]} slices are not taken"
        )
    if images.dtype.kind == "f":
        # Written so that NaN fails it too.
        if not (images.min() >= 0 and images.max() <= 1):
            raise UserError(
                f"{where} holds values from {images.min()} to {images.max()}:"
                " floats must lie in [0, 1]"
            )
        images = images.astype(np.float32)
    elif images.dtype != np.uint8:
        raise UserError(f"{where} is {images.dtype}: expected uint8, or float in [0, 1]")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _labels(where: str, labels: NDArray[Any]) -> Labels:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not len(labels):
        one_hot = labels.ndim == 2 and len(labels) and (np.count_nonzero(labels, axis=1) == 1).all()
        mend = ", which looks one-hot: save its argmax(1)" if one_hot else ""
        raise UserError(f"{where} has shape {labels.shape}: expected (N,) or (N, 1){mend}")
    if labels.dtype.kind not in "iuf":
        raise UserError(f"{where} is {labels.dtype}: expected integers")
    whole = np.isfinite(labels) & (labels == np.floor(labels))
    wrong = ~whole | (labels < 0) | (labels >= MOST_CLASSES)
    if wrong.any():
        raise UserError(
            f"{where} holds {labels[wrong][0]}: expected integers from 0 to {MOST_CLASSES - 1}"
        )
    return labels.astype(np.int64)
