"""Data that a user names by a path: array files and image folders."""

from __future__ import annotations

from pathlib import Path

from regmix_bench.data import cache
from regmix_bench.data.npz import read_npz
from regmix_bench.data.protocol import PathSource
from regmix_bench.data.trees import class_tree
from regmix_bench.errors import UserError

# A mirror image of an unknown class may be another class.
_UNMIRRORED = {"augmentation": "crop"}


class ArrayFile(PathSource):
    """An array file with train_images, train_labels, test_images, test_labels, val_*."""

    name = "npz"
    recipe = _UNMIRRORED

    def entry(self, path: Path) -> str:
        if not path.is_file():
            raise UserError(
                f"dataset 'npz:{path}': not a file; for images in folders give folder:{path}"
            )
        fingerprint = cache.fingerprint(path.parent, [path])
        return cache.entry(self.name, fingerprint, lambda: read_npz(path))


class ImageFolder(PathSource):
    """Image files in train/<class>/ and test/<class>/."""

    name = "folder"
    recipe = _UNMIRRORED

    def entry(self, path: Path) -> str:
        if not path.is_dir():
            raise UserError(
                f"dataset 'folder:{path}': not a folder; for an array file give npz:{path}"
            )
        return class_tree(path).entry(self.name)
