"""Common corruptions of test images: made here, or the official arrays of CIFAR-10-C.

Hendrycks and Dietterich, "Benchmarking neural network robustness to common corruptions and
perturbations", ICLR 2019: fifteen corruptions at five severities. Images are corrupted as 8-bit
numbers, as theirs are.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from regmix_bench.data.batches import as_float
from regmix_bench.data.run_data import EvalData
from regmix_bench.data.sources import default_data_dir
from regmix_bench.errors import UserError, reason
from regmix_bench.specs.corruptions import ARRAYS, CORRUPTIONS, SEVERITIES, CorruptionSource
from regmix_bench.system.reading import open_regular

#: Pixels of a side from which on corruptions are defined: their kernels are made for photographs.
LEAST_SIDE = 32
#: The folder of the official arrays, inside that of the data sets.
FOLDER = "CIFAR-10-C"
_PACKAGE = "imagecorruptions-imaug"
#: Packages that make an image what it is, of which one may stand for another.
_PACKAGES = (
    *(_PACKAGE, "imagecorruptions", "scikit-image", "opencv-python", "opencv-python-headless"),
    *("numpy", "scipy", "pillow", "numba"),
)

Images = NDArray[np.uint8]


class Corrupted(ABC):
    """Test images under each corruption and severity, in their order."""

    @property
    def origin(self) -> Mapping[str, str]:
        """Name what decides them beside test images and seed, and say which it is.

        It is recorded, and no part of an identity.
        """
        return {}

    @abstractmethod
    def images(self, corruption: str, severity: int) -> Tensor:
        """Return images (N, C, H, W) float32 in [0, 1] at a severity from 1 to 5."""


class Made(Corrupted):
    """Images that are corrupted here, with the severities that were chosen for ImageNet.

    The package does what Hendrycks and Dietterich's program does to photographs of 224 pixels. So
    on small images its severities are other ones than those of CIFAR-10-C. Each image is made with
    random numbers that follow from its own pixels, so that neither other images nor a sample change
    it. The generators of Python and NumPy are left as they were; that of numba, which nothing else
    here draws from, is left as the glass blur seeds it. Of images with one channel, which it would
    colour, the first of three is kept.
    """

    def __init__(self, test: EvalData, seed: int) -> None:
        if min(test.image_shape[1:]) < LEAST_SIDE:
            height, width = test.image_shape[1:]
            raise UserError(
                f"corruptions are for images of {LEAST_SIDE}×{LEAST_SIDE} pixels or more, and"
                f" these are {height}×{width}"
            )
        if test.image_shape[0] not in (1, 3):
            raise UserError(
                f"corruptions are for images of 1 or 3 channels, not of {test.image_shape[0]}"
            )
        self._corrupt = _library()
        pixels = (test.x * 255).round().to(torch.uint8).cpu().permute(0, 2, 3, 1)
        self._pixels: Images = np.ascontiguousarray(pixels.numpy())
        self._device, self._seed = test.x.device, seed

    @property
    def origin(self) -> Mapping[str, str]:
        return _versions()

    def images(self, corruption: str, severity: int) -> Tensor:
        made = np.stack([self._made(image, corruption, severity) for image in self._pixels])
        return _as_tensor(made, self._device)

    def _made(self, image: Images, corruption: str, severity: int) -> Images:
        about = f"{self._seed}/{corruption}/{severity}/".encode()
        digest = hashlib.sha256(about + image.tobytes()).digest()
        own = int.from_bytes(digest[:4], "big")
        # These two bring a generator of their own, which global seeds do not reach.
        seeded = {"seed": own} if corruption in ("glass_blur", "impulse_noise") else {}
        gray = image.shape[2] == 1
        # It prints where a zoomed image is a pixel too small.
        with _generators(own), contextlib.redirect_stdout(io.StringIO()):
            made: Images = self._corrupt(
                image[:, :, 0] if gray else image, severity, corruption, **seeded
            )
        return made[:, :, :1] if gray else made


class Official(Corrupted):
    """The arrays of CIFAR-10-C as they are published, of which the images that are scored are read.

    Rows (s − 1)·N to s·N of each file are the N test images of CIFAR-10 at severity s. Their origin
    is the SHA-256 of the rows that are scored: those of a corruption after the other, by severity.
    """

    def __init__(self, test: EvalData, data_dir: Path | None) -> None:
        self._folder = (data_dir or default_data_dir()) / FOLDER
        self._index, self._device = test.index.numpy(), test.x.device
        self._shape = (*test.image_shape[1:], test.image_shape[0])
        labels = self._read("labels", ())
        self._total = len(labels) // SEVERITIES
        expected = test.y.cpu().numpy()
        if self._total <= self._index.max() or any(
            not np.array_equal(labels[self._rows(severity)], expected)
            for severity in range(1, SEVERITIES + 1)
        ):
            raise UserError(
                f"{self._path('labels')} does not hold the labels of the test images, once for each"
                " severity"
            )
        for corruption in CORRUPTIONS:
            self._read(corruption, self._shape, len(labels))

    @cached_property
    def origin(self) -> Mapping[str, str]:
        hashed = hashlib.sha256()
        for corruption, severity in product(CORRUPTIONS, range(1, SEVERITIES + 1)):
            hashed.update(self._scored(corruption, severity).tobytes())
        return {ARRAYS: hashed.hexdigest()}

    def images(self, corruption: str, severity: int) -> Tensor:
        return _as_tensor(self._scored(corruption, severity), self._device)

    def _scored(self, corruption: str, severity: int) -> Images:
        rows: Images = self._read(corruption, self._shape)[self._rows(severity)]
        return rows

    def _rows(self, severity: int) -> NDArray[np.int64]:
        """Return the rows of the images that are scored at a severity."""
        rows: NDArray[np.int64] = (severity - 1) * self._total + self._index
        return rows

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npy"

    def _read(self, name: str, shape: tuple[int, ...], length: int | None = None) -> Images:
        path = self._path(name)
        try:
            with open_regular(path):
                found: Images = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError as error:
            raise UserError(
                f"there is no {path}: put the files of CIFAR-10-C (zenodo.org/records/2535967)"
                f" into the folder {FOLDER} of --data-dir, or give --corruptions made"
            ) from error
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"cannot read {path}: {reason(error)}") from error
        if not isinstance(found, np.ndarray) or (shape and found.dtype != np.uint8):
            raise UserError(f"{path} does not hold 8-bit numbers, as images of CIFAR-10-C are")
        if found.ndim == 0:
            raise UserError(f"{path} holds a single number, not one for each image")
        if found.shape[1:] != shape:
            raise UserError(f"{path} holds rows of shape {found.shape[1:]}, not {shape}")
        if len(found) % SEVERITIES or len(found) == 0:
            raise UserError(
                f"{path} has {len(found):,} rows, which are not {SEVERITIES} severities of images"
            )
        if length is not None and len(found) != length:
            raise UserError(f"{path} has {len(found):,} rows, and labels.npy has {length:,}")
        return found


def corrupted(
    source: CorruptionSource, dataset: str, test: EvalData, seed: int, data_dir: Path | None
) -> Corrupted:
    """Return the corrupted images of ``test``, which are of ``dataset``.

    Raises :class:`UserError` for images that are too small, arrays that are not there or not those
    of these images, and where the package is not installed that makes them.
    """
    if source == "made":
        return Made(test, seed)
    if dataset != "cifar10":
        raise UserError(f"cifar10c is of cifar10, not of {dataset}: give --corruptions made")
    return Official(test, data_dir)


def _library() -> Any:
    try:
        from imagecorruptions import corrupt
    except ImportError as error:
        raise UserError(
            f"corruptions are made by {_PACKAGE} ({reason(error)}):"
            ' pip install "regmix-bench[corruptions]"'
        ) from error
    return corrupt


def _versions() -> dict[str, str]:
    """Return the versions of the packages that make images, as far as they are installed."""
    found = {}
    for name in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


@contextlib.contextmanager
def _generators(seed: int) -> Iterator[None]:
    """Seed the generators of Python and NumPy for a while; they are left as they were."""
    python, legacy = random.getstate(), np.random.get_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)


def _as_tensor(images: Images, device: torch.device) -> Tensor:
    """Turn images (N, H, W, C) into float32 (N, C, H, W) from 0 to 1."""
    found = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    return as_float(found.to(device))
