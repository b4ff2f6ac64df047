"""Views of a model, to be looked at: example images, the loss around them, its curvature.

Measured by :mod:`regmix_bench.evaluation.landscape` when a run is scored, and read by reports,
which have no model. One file of safetensors per run, which needs neither torch nor pickle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from regmix_bench.errors import UserError
from regmix_bench.records.schema import MOST_CLASSES
from regmix_bench.system.files import NoSuchFile, atomic_write, file_digest
from regmix_bench.system.reading import open_tensors
from regmix_bench.types import ThreatModel

Array = npt.NDArray[Any]

#: Name, type and axes of each array: S images shown of shape (C, H, W), grid of G by G, N measured.
_ARRAYS: dict[str, tuple[type[np.generic], str]] = {
    "index": (np.int64, "S"),
    "label": (np.int64, "S"),
    "clean_pred": (np.int64, "S"),
    "adv_pred": (np.int64, "S"),
    "image": (np.float16, "SCHW"),
    "perturbation": (np.float16, "SCHW"),
    "loss": (np.float32, "SGG"),
    "curvature": (np.float32, "N"),
    "gradient_norm": (np.float32, "N"),
}
_THREAT = "threat"
_UNREADABLE = (OSError, SafetensorError, LookupError, TypeError, ValueError, RecursionError)


@dataclass(frozen=True, eq=False)
class Views:
    """The selected checkpoint of a run, looked at under ``threat``.

    ``index`` (S,) are positions in the test split of the images that are shown, ``label``,
    ``clean_pred`` and ``adv_pred`` (S,) their classes: true, predicted, and predicted under PGD.
    ``image`` (S, C, H, W) are these in [0, 1], and ``perturbation`` what PGD adds to them.

    ``loss[i, a, b]`` is the cross-entropy at ``image[i]`` moved by ``coordinates[a]`` along the
    adversarial and ``coordinates[b]`` along the random direction, each of length ε.

    ``curvature`` (N,) and ``gradient_norm`` (N,) are of N test images, the shown ones among them,
    in units of the loss per pixel range squared and per pixel range. The curvature of an image
    without gradient is not a number.
    """

    threat: ThreatModel
    index: Array
    label: Array
    clean_pred: Array
    adv_pred: Array
    image: Array
    perturbation: Array
    loss: Array
    curvature: Array
    gradient_norm: Array

    @property
    def coordinates(self) -> Array:
        """Coordinates (G,) of the grid, −1 to 1 in units of ε."""
        return np.linspace(-1.0, 1.0, self.loss.shape[1])


def write_views(path: Path, views: Views) -> str:
    """Write ``views``, atomically; returns the file's SHA-256."""
    arrays = {
        name: np.ascontiguousarray(getattr(views, name), dtype=dtype)
        for name, (dtype, _) in _ARRAYS.items()
    }
    threat = {"norm": views.threat.norm, "epsilon": str(views.threat.epsilon)}
    with atomic_write(path) as stream:
        # One key: safetensors writes several in an order that changes from call to call.
        stream.write(safetensors.numpy.save(arrays, {_THREAT: json.dumps(threat)}))
    return file_digest(path)


def read_views(path: Path, digest: str) -> Views:
    """Read a file of :func:`write_views` whose SHA-256 the record says to be ``digest``.

    Raises :class:`UserError` where it is missing, altered, or holds anything else.
    """
    try:
        if file_digest(path) != digest:
            raise UserError(f"{path} is not the views file of its record: its SHA-256 differs")
    except NoSuchFile as error:
        raise UserError(f"{path} is missing: `regmix-bench inspect` makes it anew") from error
    try:
        # Opened, because ``safetensors.numpy.load`` gives no metadata.
        with open_tensors(path, "numpy") as file:
            threat = ThreatModel(**json.loads((file.metadata() or {})[_THREAT]))
            arrays = {name: file.get_tensor(name) for name in _ARRAYS}
        _check(arrays)
    except (*_UNREADABLE, UserError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} does not hold views of a run: {reason}") from error
    return Views(threat, **arrays)


def _check(arrays: dict[str, Array]) -> None:
    """Raise ``ValueError`` unless the arrays are of :data:`_ARRAYS`, and hold what can be shown."""
    sizes: dict[str, int] = {}
    for name, (dtype, axes) in _ARRAYS.items():
        array = arrays[name]
        if array.dtype != dtype or array.ndim != len(axes):
            raise ValueError(f"{name} is of {array.dtype} with {array.ndim} axes")
        for axis, size in zip(axes, array.shape, strict=True):
            if sizes.setdefault(axis, size) != size:
                raise ValueError(f"{name} has {size} where others have {sizes[axis]}")
            if size < (2 if axis == "G" else 1):
                raise ValueError(f"{name} is empty")
        if name != "curvature" and not np.isfinite(array).all():
            raise ValueError(f"{name} holds a value that is not a finite number")
    for name in ("label", "clean_pred", "adv_pred"):
        if arrays[name].min() < 0 or arrays[name].max() >= MOST_CLASSES:
            raise ValueError(f"{name} holds a class that is not below {MOST_CLASSES}")
