"""Images in folders: class-folder trees and the official layout of Tiny-ImageNet."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from regmix_bench.data import cache
from regmix_bench.data.dataset import Dataset
from regmix_bench.errors import UserError
from regmix_bench.system.files import below
from regmix_bench.system.reading import open_regular, read_text

#: Of what Pillow reads, what images of data sets are stored in: of GIF the first frame, of PPM its
#: whole family. Other formats are left to no decoder, some of which start another program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")

_GREY = frozenset({"1", "L", "LA"})
_COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


@dataclass(frozen=True)
class Tree:
    """Image files found below ``root``, each with its label, not yet decoded."""

    root: Path
    classes: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...]

    def entry(self, prefix: str) -> str:
        """Return the name of the cache's entry for these images, decoding them if there is none."""
        paths, labels = zip(*self.train, *self.test, strict=True)
        found = cache.fingerprint(self.root, paths, len(self.train), self.classes, labels)
        return cache.entry(prefix, found, self.decode)

    def load(self, name: str) -> Dataset:
        """Load the images as the dataset ``name``, from the cache where it holds them."""
        return cache.load_or_decode(lambda: self.entry(name), name)

    def decode(self) -> Dataset:
        """Read every image. Raises :class:`UserError` naming the first file that does not fit."""
        listed = self.train + self.test
        images = decode_images([path for path, _ in listed])
        labels = np.array([label for _, label in listed], dtype=np.int64)
        n_train = len(self.train)
        return Dataset(
            name=self.root.name,
            train_images=images[:n_train],
            train_labels=labels[:n_train],
            test_images=images[n_train:],
            test_labels=labels[n_train:],
            classes=self.classes,
        )


def class_tree(root: Path) -> Tree:
    """Find ``train/<class>/*`` and ``test/<class>/*`` below ``root``; hidden files are ignored.

    Classes are numbered in the order of their sorted names, files are sorted by name. Raises
    :class:`UserError` for a missing or empty folder, or a class in one split only.
    """
    splits = {}
    for split in ("train", "test"):
        folder = root / split
        if not folder.is_dir():
            raise UserError(f"{root} is not a class-folder tree: it has no folder {split}/")
        splits[split] = {path.name: path for path in _visible(folder) if path.is_dir()}
        if not splits[split]:
            raise UserError(f"{folder} is empty: expected {split}/<class>/<image files>")
    for split, other in (("train", "test"), ("test", "train")):
        if alone := sorted(splits[split].keys() - splits[other].keys()):
            raise UserError(f"class {alone[0]!r} of {root} is in {split}/ and not in {other}/")
    classes = tuple(sorted(splits["train"]))
    if len(classes) < 2:
        raise UserError(f"{root} has the one class {classes[0]!r}: at least two are needed")
    return Tree(root, classes, _labelled(splits["train"]), _labelled(splits["test"]))


def tiny_imagenet_tree(root: Path) -> Tree:
    """Find the images of an unzipped ``tiny-imagenet-200``; ``val/`` is the test split.

    Raises :class:`UserError` where a file of the layout is missing or an annotation is malformed.
    """
    classes = tuple(sorted(_read_text(root / "wnids.txt").split()))
    position = {wnid: label for label, wnid in enumerate(classes)}
    train = _labelled({wnid: below(root / "train", wnid) / "images" for wnid in classes})
    annotations = root / "val" / "val_annotations.txt"
    test = []
    for number, line in enumerate(_read_text(annotations).splitlines(), start=1):
        name, _, rest = line.partition("\t")
        wnid = rest.partition("\t")[0]
        if wnid not in position:
            raise UserError(f"{annotations}, line {number}: {wnid!r} is no class of wnids.txt")
        path = below(root / "val" / "images", name)
        if not path.is_file():
            raise UserError(f"{annotations}, line {number}: there is no image {path}")
        test.append((path, position[wnid]))
    if not train or not test:
        raise UserError(f"{root} is empty: wnids.txt or val_annotations.txt lists nothing")
    return Tree(root, classes, train, tuple(test))


def decode_images(paths: Sequence[Path]) -> NDArray[np.uint8]:
    """Decode 8-bit images to (N, C, H, W): C is 1 if all are grey, else 3. Transparency is dropped.

    Raises :class:`UserError` naming the file that is truncated, not an image, of more than 8 bits,
    beyond Pillow's limit against decompression bombs, or of another size than the first.
    """
    all_grey = True
    images: NDArray[np.uint8] | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for number, path in enumerate(paths):
            pixels, grey = _read_image(path)
            all_grey = all_grey and grey
            if images is None:
                images = _empty((len(paths), *pixels.shape))
            if pixels.shape != images.shape[1:]:
                raise UserError(
                    f"images of mixed size: {paths[0]} is {_size(images[0])},"
                    f" {path} is {_size(pixels)}"
                )
            images[number] = pixels
    if images is None:
        raise ValueError("no paths to decode")
    return images[:, :1].copy() if all_grey else images


def _read_image(path: Path) -> tuple[NDArray[np.uint8], bool]:
    try:
        with open_regular(path) as stream, Image.open(stream, formats=FORMATS) as image:
            mode = image.mode
            pixels = np.asarray(image.convert("RGB")) if mode in _GREY | _COLOUR else None
    except UnidentifiedImageError as error:
        raise UserError(
            f"cannot decode image {path}: it is damaged, or none of {', '.join(FORMATS)}"
        ) from error
    # Pillow's decoders raise nearly anything on broken bytes.
    except Exception as error:
        said = getattr(error, "strerror", None) or error
        raise UserError(f"cannot decode image {path}: {said}") from error
    if pixels is None:
        raise UserError(f"image {path} has mode {mode}: convert it to 8-bit grey or RGB")
    return pixels.transpose(2, 0, 1), mode in _GREY


def _empty(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        return np.empty(shape, dtype=np.uint8)
    except MemoryError as error:
        raise UserError(f"{shape[0]} images of {shape[1:]} do not fit into memory") from error


def _size(pixels: NDArray[np.uint8]) -> str:
    return f"{pixels.shape[2]}x{pixels.shape[1]}"


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _labelled(folders: dict[str, Path]) -> tuple[tuple[Path, int], ...]:
    found = []
    for label, (_, folder) in enumerate(sorted(folders.items())):
        files = _visible(folder)
        if not files:
            raise UserError(f"{folder} is empty: every class needs images in both splits")
        found += [(path, label) for path in files]
    return tuple(found)


def _read_text(path: Path) -> str:
    try:
        return read_text(path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file") from error
