"""Weights that a training starts from: kept by their digest, so that a specification names them.

The cache holds a copy of each, ``weights/<SHA-256>`` and the ending of the file's name; a run that
goes on in another process, or is done again, needs no path.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from torch import nn

from regmix_bench.data import cache
from regmix_bench.errors import UserError, abridged
from regmix_bench.models.weights import check_digest, load_weights, read_weights
from regmix_bench.system.files import copy_file, file_digest

_DIGEST = re.compile(r"[0-9a-f]{64}")
#: The ending says how a file is read, and any other than the first means what torch writes.
_ENDINGS = (".safetensors", ".pt")


def keep_initial(text: str) -> str:
    """Return the SHA-256 of the file of weights at the path ``text``, of which a copy is kept then.

    ``text`` may be the digest of one that is kept. Raises :class:`UserError` for a file that is
    none of weights, or is not there.
    """
    if _DIGEST.fullmatch(text):
        _kept(text)
        return text
    path = Path(os.path.expanduser(text))
    if not path.is_file():
        raise UserError(f"recipe.init {abridged(text)}: there is no such file of weights")
    read_weights(path)
    sha256 = file_digest(path)
    if not any(place.is_file() for place in _places(sha256)):
        copy_file(path, _places(sha256)[path.suffix != _ENDINGS[0]])
    return sha256


def fill_initial(model: nn.Module, sha256: str) -> None:
    """Fill ``model`` with the weights of this digest; whatever normalises pixels is among them.

    Raises :class:`UserError` where they are not kept here, and where they do not fit.
    """
    path = _kept(sha256)
    check_digest(path, sha256)
    load_weights(model, read_weights(path).tensors, f"recipe.init {sha256[:12]}")


def _kept(sha256: str) -> Path:
    for path in _places(sha256):
        if path.is_file():
            return path
    raise UserError(
        f"recipe.init: no weights {sha256[:12]} are in the cache {cache.folder()}: name their file"
    )


def _places(sha256: str) -> list[Path]:
    return [cache.folder() / "weights" / f"{sha256}{ending}" for ending in _ENDINGS]
