"""Images in folders: class-folder trees and the official layout of Tiny-ImageNet."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from regmix_bench.data import cache
from regmix_bench.data.dataset import Dataset, check_scale
from regmix_bench.errors import UserError
from regmix_bench.system.files import below
from regmix_bench.system.reading import open_regular, read_text

#: Of what Pillow reads, what images of data sets are stored in: of GIF the first frame, of PPM its
#: whole family. Other formats are left to no decoder, some of which start another program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")

#: The folders that may hold the test images, the first of them that is there.
TEST_FOLDERS = ("test", "val", "valid", "validation")

#: The endings of images' names.
SUFFIXES = frozenset(
    {
        *(".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
    }
)
# Of PNG, JPEG, GIF and TIFF.
_STARTS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")

_GREY = frozenset({"1", "L", "LA"})
_COLOUR = frozenset({"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


@dataclass(frozen=True)
class Tree:
    """Image files found below ``root``, each with its label, not yet decoded.

    ``left_out`` are files beside them that are no images.
    """

    root: Path
    classes: tuple[str, ...]
    train: tuple[tuple[Path, int], ...]
    test: tuple[tuple[Path, int], ...]
    left_out: tuple[Path, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Return a line that counts the files which are no images, if there are any."""
        if not self.left_out:
            return ()
        first, *others = (path.name for path in self.left_out)
        files, more = ("files", ", …") if others else ("file", "")
        count = len(self.left_out)
        return (f"{count} {files} in {self.root} left out, not named as images: {first}{more}",)

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
        check_scale(f"the images in {self.root}", images)
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
    """Find ``test/<class>/*`` and, for data to train on, ``train/<class>/*`` below ``root``.

    ``val/``, ``valid/`` or ``validation/`` stand for ``test/`` where there is none. Classes are
    those of both splits, numbered in the order of their sorted names; files are sorted by name, and
    what is no image is left out. Raises :class:`UserError` where there is no test image, or one
    class alone.
    """
    folder = next((root / name for name in TEST_FOLDERS if (root / name).is_dir()), None)
    if folder is None:
        raise UserError(
            f"{root} is not a class-folder tree: it has no folder test/, nor val/, of"
            " <class>/<image files>"
        )
    splits = {}
    for split in (root / "train", folder):
        found = _visible(split) if split.is_dir() else []
        splits[split] = {path.name: path for path in found if path.is_dir()}
    classes = tuple(sorted({name for split in splits.values() for name in split}))
    train, test = (_labelled(split, classes) for split in splits.values())
    if not test.images:
        raise UserError(f"{folder} has no images: expected {folder.name}/<class>/<image files>")
    if len(classes) < 2:
        raise UserError(f"{root} has the one class {classes[0]!r}: at least two are needed")
    return Tree(root, classes, train.images, test.images, train.left_out + test.left_out)


def tiny_imagenet_tree(root: Path) -> Tree:
    """Find the images of an unzipped ``tiny-imagenet-200``; ``val/`` is the test split.

    Without ``train/`` they are for scoring alone.

    Raises :class:`UserError` where a file of the layout is missing or an annotation is malformed.
    """
    classes = tuple(sorted(_read_text(root / "wnids.txt").split()))
    position = {wnid: label for label, wnid in enumerate(classes)}
    folders = {wnid: below(root / "train", wnid) / "images" for wnid in classes}
    train = _labelled({w: path for w, path in folders.items() if path.is_dir()}, classes)
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
    if not test:
        raise UserError(f"{root} is empty: wnids.txt or val_annotations.txt lists nothing")
    return Tree(root, classes, train.images, tuple(test), train.left_out)


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


class _Files(NamedTuple):
    """The files of one split: images with their labels, and what is none."""

    images: tuple[tuple[Path, int], ...]
    left_out: tuple[Path, ...]


def _labelled(folders: Mapping[str, Path], classes: Sequence[str]) -> _Files:
    images: list[tuple[Path, int]] = []
    left_out: list[Path] = []
    for label, name in enumerate(classes):
        for path in sorted(folders[name].iterdir()) if name in folders else ():
            if is_named_as_image(path):
                images.append((path, label))
            else:
                left_out.append(path)
    return _Files(tuple(images), tuple(left_out))


def is_named_as_image(path: Path) -> bool:
    """Return whether a file has the name of an image, or none and an image's first bytes.

    One that is named so and is broken is an error, and no reason to leave it out.
    """
    if path.name.startswith("."):
        return False
    if path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file():
        return False
    with open_regular(path) as stream:
        start = stream.read(12)
    return start.startswith(_STARTS) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def _read_text(path: Path) -> str:
    try:
        return read_text(path)
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not a text file") from error
