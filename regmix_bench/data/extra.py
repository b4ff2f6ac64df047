"""Further images to train on, without labels: an array file, or image files in a folder.

They are decoded once and kept in the cache beside data sets, as ``extra-npz-…`` or
``extra-folder-…`` with twelve digits of their SHA-256. Labels that lie beside them are not read.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from regmix_bench.data import cache
from regmix_bench.data.dataset import Dataset, Images, check_scale
from regmix_bench.data.npz import read_image_array
from regmix_bench.data.sources import find_path
from regmix_bench.data.trees import decode_images, is_named_as_image
from regmix_bench.errors import UserError, abridged
from regmix_bench.types import NO_LABEL

#: The keys of an array file that its images may have, the first of them that is there.
KEYS = ("images", "train_images")

_ENTRY = re.compile(r"extra-(npz|folder)-[0-9a-f]{12}")
_FORM = "write it like npz:PATH or folder:PATH"


def canonical_extra(text: str, data_dir: Path | None = None) -> str:
    """Return the name by which a specification has extra images, which are in the cache then.

    ``text`` is ``npz:PATH``, ``folder:PATH`` or such a name; a relative PATH that does not exist is
    looked for in ``data_dir``. Raises :class:`UserError` for any other text, and for images that
    are not there or cannot be used.
    """
    if _ENTRY.fullmatch(text):
        if not cache.contains(text):
            raise UserError(f"data.extra {text!r} is not in the cache {cache.folder()}: {_FORM}")
        return text
    kind, colon, typed = text.partition(":")
    if not colon or kind not in ("npz", "folder") or not typed:
        raise UserError(f"data.extra {abridged(text)}: {_FORM}")
    try:
        return _entry(kind, find_path(f"data.extra {text!r}", typed, data_dir))
    except OSError as error:
        raise UserError(f"cannot read data.extra {text!r}: {error}") from error
    except MemoryError as error:
        raise UserError(f"data.extra {text!r} does not fit into memory: {error}") from error


def load_extra(name: str) -> Images:
    """Return extra images (N, C, H, W), uint8 or float32 in [0, 1], by their canonical name."""
    return cache.load_or_decode(lambda: canonical_extra(name)).train_images


def _entry(kind: str, path: Path) -> str:
    if kind == "npz":
        if not path.is_file():
            raise UserError(
                f"data.extra 'npz:{path}': not a file; for images in a folder give folder:{path}"
            )
        found = cache.fingerprint(path.parent, [path], "extra")
        return cache.entry(
            "extra-npz", found, lambda: _without_labels(read_image_array(path, KEYS))
        )
    if not path.is_dir():
        raise UserError(
            f"data.extra 'folder:{path}': not a folder; for an array file give npz:{path}"
        )
    files = sorted(file for file in path.rglob("*") if is_named_as_image(file))
    if not files:
        raise UserError(f"data.extra 'folder:{path}': it holds no images")
    found = cache.fingerprint(path, files, "extra")
    return cache.entry("extra-folder", found, lambda: _without_labels(decode_images(files)))


def _without_labels(images: Images) -> Dataset:
    check_scale("extra images", images)
    labels = np.full(len(images), NO_LABEL, dtype=np.int64)
    return Dataset("extra", images, labels, images[:0], labels[:0], ())
