"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), in torchvision's layout or as class-folder trees."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regmix_bench.data.classes import CLASSES
from regmix_bench.data.dataset import Dataset
from regmix_bench.data.trees import class_tree
from regmix_bench.errors import UserError, unknown

_OFFICIAL_FOLDER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}


def load_cifar(name: str, data_dir: Path, download: bool) -> Dataset:
    """Load ``cifar10`` or ``cifar100`` from ``data_dir``, fetching it first if ``download``.

    Looks for torchvision's layout, whose MD5 sums are checked, then for a class-folder tree in
    ``data_dir/<name>`` or ``data_dir`` itself. Raises :class:`UserError` where neither is there, or
    is not what it should be.
    """
    official = _OFFICIAL_FOLDER[name]
    if not (data_dir / official).is_dir():
        for root in (data_dir / name, data_dir):
            if (root / "train").is_dir() or (root / "test").is_dir():
                return _from_tree(name, root)
        if not download:
            raise UserError(
                f"{name} is not in {data_dir} (looked for {official}/, {name}/train/<class>/ and"
                " train/<class>/): point --data-dir to it, or give --download"
            )
    return _from_torchvision(name, data_dir, download)


def _from_torchvision(name: str, data_dir: Path, download: bool) -> Dataset:
    from torchvision.datasets import CIFAR10, CIFAR100

    source = CIFAR10 if name == "cifar10" else CIFAR100
    try:
        train = source(str(data_dir), train=True, download=download)
        test = source(str(data_dir), train=False)
    # torchvision raises RuntimeError where an MD5 sum differs.
    except (OSError, RuntimeError) as error:
        what = "cannot download" if download else "cannot read"
        advice = "check the network and the folder" if download else "--download fetches it again"
        raise UserError(f"{what} {name} in {data_dir} ({error}): {advice}") from error
    return Dataset(
        name=name,
        train_images=np.ascontiguousarray(train.data.transpose(0, 3, 1, 2)),
        train_labels=np.array(train.targets, dtype=np.int64),
        test_images=np.ascontiguousarray(test.data.transpose(0, 3, 1, 2)),
        test_labels=np.array(test.targets, dtype=np.int64),
        classes=tuple(train.classes),
    )


def _from_tree(name: str, root: Path) -> Dataset:
    tree = class_tree(root)
    classes = CLASSES[name]
    if foreign := sorted(set(tree.classes) - set(classes)):
        raise UserError(f"{root} is not {name}: {unknown('class', foreign[0], classes)}")
    if absent := sorted(set(classes) - set(tree.classes)):
        raise UserError(f"{root} is not {name}: it has no class {absent[0]!r}")
    dataset = tree.load(name)
    if dataset.image_shape != (3, 32, 32):
        raise UserError(
            f"{root} is not {name}: its images are {dataset.image_shape}, not (3, 32, 32)"
        )
    return dataset
