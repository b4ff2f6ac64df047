"""Data that a user names by a path: array files and image folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from regmix_bench.data import cache
from regmix_bench.data.dataset import Dataset, check_trainable
from regmix_bench.data.npz import read_class_names, read_npz
from regmix_bench.data.protocol import PathSource
from regmix_bench.data.trees import class_tree
from regmix_bench.errors import UserError
from regmix_bench.specs.components import shown_classes

# A mirror image of an unknown class may be another class.
_UNMIRRORED = {"augmentation": "crop"}


class ArrayFile(PathSource):
    """An array file with test_images, test_labels and, to train on, train_* and val_*."""

    name = "npz"
    recipe = _UNMIRRORED

    def entry(self, path: Path) -> str:
        if not path.is_file():
            raise UserError(
                f"dataset 'npz:{path}': not a file; for images in folders give folder:{path}"
            )
        fingerprint = cache.fingerprint(path.parent, [path])
        found = cache.entry(self.name, fingerprint, lambda: self._read(path))
        self.class_names = read_class_names(path)
        return found

    def _read(self, path: Path) -> Dataset:
        dataset = read_npz(path)
        if self.to_train:
            check_trainable(str(path), dataset.train_labels, dataset.classes)
        return dataset


class ImageFolder(PathSource):
    """Image files in test/<class>/ or val/<class>/ and, to train on, train/<class>/."""

    name = "folder"
    recipe = _UNMIRRORED

    def entry(self, path: Path) -> str:
        if not path.is_dir():
            raise UserError(
                f"dataset 'folder:{path}': not a folder; for an array file give npz:{path}"
            )
        tree = class_tree(path)
        self.notes = tree.notes
        self.class_names = shown_classes(tree.classes)
        if self.to_train:
            labels = np.array([label for _, label in tree.train], dtype=np.int64)
            check_trainable(str(path), labels, tree.classes)
        return tree.entry(self.name)
