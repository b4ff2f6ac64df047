"""Array files with the key names of MedMNIST (Yang et al. 2023)."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regmix_bench.data.dataset import Dataset, Images, Labels
from regmix_bench.errors import UserError
from regmix_bench.system.archives import open_archive


def read_npz(path: Path) -> Dataset:
    """Read and check ``train_images``, ``train_labels``, ``test_*`` and, where present, ``val_*``.

    Images are (N, H, W) or (N, H, W, C), uint8 or float in [0, 1]; labels are (N,) or (N, 1), the
    integers 0 to K - 1, all of which occur in ``train_labels``. Raises :class:`UserError` naming
    the key and what is wrong with it; pickled objects are refused.
    """
    arrays = _read_arrays(path)
    splits = {
        split: _split(path, split, arrays)
        for split in ("train", "test", "val")
        if f"{split}_images" in arrays
    }
    train_images, train_labels = splits["train"]
    num_classes = _count_classes(path, train_labels)
    for split, (images, labels) in splits.items():
        if images.shape[1:] != train_images.shape[1:]:
            raise UserError(
                f"{path}: {split}_images are {images.shape[1:]} (C, H, W)"
                f" and train_images {train_images.shape[1:]}"
            )
        if labels.max() >= num_classes:
            raise UserError(
                f"{path}: {split}_labels hold {labels.max()}, out of range:"
                f" train_labels are 0 to {num_classes - 1}"
            )
    return Dataset(
        name=path.stem,
        train_images=train_images,
        train_labels=train_labels,
        test_images=splits["test"][0],
        test_labels=splits["test"][1],
        classes=tuple(str(label) for label in range(num_classes)),
        validation=splits.get("val"),
    )


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    key = ""
    try:
        with open_archive(path) as archive:
            held = [name.removesuffix(".npy") for name in archive.namelist()]
            with_validation = any(name.startswith("val_") for name in held)
            splits = ("train", "test", "val") if with_validation else ("train", "test")
            keys = [f"{split}_{part}" for split in splits for part in ("images", "labels")]
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
        raise UserError(f"{where} has shape {labels.shape}: expected (N,) or (N, 1)")
    if labels.dtype.kind not in "iuf":
        raise UserError(f"{where} is {labels.dtype}: expected integers")
    wrong = ~np.isfinite(labels) | (labels < 0) | (labels != np.floor(labels)) | (labels > 2**31)
    if wrong.any():
        raise UserError(f"{where} holds {labels[wrong][0]}: expected integers from 0")
    return labels.astype(np.int64)


def _count_classes(path: Path, train_labels: Labels) -> int:
    present = np.unique(train_labels)
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise UserError(
            f"{path}: train_labels hold {present[-1]}, out of range:"
            f" class {gaps[0]} has no training image, and classes are numbered without a gap"
        )
    if len(present) < 2:
        raise UserError(f"{path}: train_labels hold the one class 0: at least two are needed")
    return len(present)
