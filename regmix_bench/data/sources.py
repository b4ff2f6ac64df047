"""Datasets by name: what there is, what a typed name stands for, and how it is loaded."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from regmix_bench.data import cache
from regmix_bench.data.cifar import load_cifar
from regmix_bench.data.dataset import Dataset
from regmix_bench.data.npz import read_npz
from regmix_bench.data.trees import class_tree, tiny_imagenet_tree
from regmix_bench.errors import UserError, unknown

#: What ``--datasets`` takes, each with one line on it.
DATASETS: dict[str, str] = {
    "digits": "scikit-learn's 1,797 scanned digits, 8x8 grey, 10 classes; 360 of them for the test",
    "cifar10": "60,000 photographs, 32x32 colour, 10 classes; --download or --data-dir",
    "cifar100": "60,000 photographs, 32x32 colour, 100 classes; --download or --data-dir",
    "tiny-imagenet": "110,000 photographs, 64x64 colour, 200 classes; --data-dir",
    "npz:PATH": "an array file with train_images, train_labels, test_images, test_labels, val_*",
    "folder:PATH": "image files in train/<class>/ and test/<class>/",
}


def default_data_dir() -> Path:
    """``REGMIX_BENCH_DATA``, else ``regmix-bench`` in the user's data folder."""
    if chosen := os.environ.get("REGMIX_BENCH_DATA"):
        return Path(os.path.expanduser(chosen))
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "regmix-bench"


def canonical_name(name: str, data_dir: Path | None = None) -> str:
    """The name that stands in records and file names.

    ``npz:PATH`` becomes ``npz-`` and ``folder:PATH`` becomes ``folder-``, followed by twelve digits
    of the content's SHA-256; the source is checked, decoded and cached, so that the new name alone
    loads it. Every other name stays. A relative PATH that does not exist is looked for in
    ``data_dir``. Raises :class:`UserError` for an unknown name, and for a source that cannot be
    used.
    """
    kind, colon, path = name.partition(":")
    if colon and kind in _FROM_PATH:
        with _in_one_line(name):
            return _FROM_PATH[kind](_locate(name, path, data_dir))
    if name in _NAMED:
        return name
    if re.fullmatch(r"(npz|folder)-[0-9a-f]{12}", name):
        if not cache.contains(name):
            source = f"{name.partition('-')[0]}:PATH"
            raise UserError(f"dataset {name!r} is not in the cache {cache.folder()}: give {source}")
        return name
    raise unknown("dataset", name, DATASETS)


def load_dataset(name: str, data_dir: Path | None = None, download: bool = False) -> Dataset:
    """Load a dataset by the name a user types, or by its canonical name.

    ``data_dir`` defaults to ``REGMIX_BENCH_DATA``, else to ``regmix-bench`` in the user's data
    folder; ``download`` lets ``cifar10`` and ``cifar100`` fetch what is missing there. Raises
    :class:`UserError` where the data is absent or unusable.
    """
    with _in_one_line(name):
        if name in _NAMED:
            return _NAMED[name](data_dir or default_data_dir(), download)
        return cache.load_or_decode(lambda: canonical_name(name, data_dir))


@contextlib.contextmanager
def _in_one_line(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot read dataset {name!r}: {error}") from error
    except MemoryError as error:
        raise UserError(f"dataset {name!r} does not fit into memory: {error}") from error


def _locate(name: str, path: str, data_dir: Path | None) -> Path:
    if not path:
        raise UserError(f"dataset {name!r} names no path: write it like {name}PATH")
    typed = Path(os.path.expanduser(path))
    found = typed if typed.exists() else (data_dir or default_data_dir()) / typed
    if not found.exists():
        raise UserError(f"dataset {name!r}: there is no {typed}")
    return found


def _npz_entry(path: Path) -> str:
    if not path.is_file():
        raise UserError(
            f"dataset 'npz:{path}': not a file; for images in folders give folder:{path}"
        )
    fingerprint = cache.fingerprint(path.parent, [path])
    return cache.entry("npz", fingerprint, lambda: read_npz(path))


def _folder_entry(path: Path) -> str:
    if not path.is_dir():
        raise UserError(f"dataset 'folder:{path}': not a folder; for an array file give npz:{path}")
    return class_tree(path).entry("folder")


def _digits(data_dir: Path, download: bool) -> Dataset:
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    scans, labels = load_digits(return_X_y=True)
    images = (scans.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    labels = labels.astype(np.int64)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=360, random_state=0, stratify=labels
    )
    train.sort()
    test.sort()
    return Dataset(
        name="digits",
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        classes=tuple("0123456789"),
    )


def _tiny_imagenet(data_dir: Path, download: bool) -> Dataset:
    for root in (data_dir / "tiny-imagenet-200", data_dir):
        if (root / "wnids.txt").is_file():
            return tiny_imagenet_tree(root).load("tiny-imagenet")
    raise UserError(
        f"tiny-imagenet is not in {data_dir} (looked for tiny-imagenet-200/wnids.txt): unzip"
        " http://cs231n.stanford.edu/tiny-imagenet-200.zip there, or point --data-dir to it"
    )


_NAMED: dict[str, Callable[[Path, bool], Dataset]] = {
    "digits": _digits,
    "cifar10": partial(load_cifar, "cifar10"),
    "cifar100": partial(load_cifar, "cifar100"),
    "tiny-imagenet": _tiny_imagenet,
}
_FROM_PATH: dict[str, Callable[[Path], str]] = {"npz": _npz_entry, "folder": _folder_entry}
