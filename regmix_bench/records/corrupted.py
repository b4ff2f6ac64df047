"""The per-image outcomes of a test on corrupted images, and the accuracies that follow from them.

One row per image, corruption and severity: ``corruption`` is "" and ``severity`` 0 without one,
``index`` is the image's position in the test split, ``label`` its class, ``correct`` is bool,
``pred`` the predicted class and ``margin`` the true logit minus the largest other one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from regmix_bench.errors import UserError
from regmix_bench.records.parquet import read_columns
from regmix_bench.records.paths import own_outcomes_path
from regmix_bench.records.schema import CorruptionRecord
from regmix_bench.records.store import check_own_outcomes
from regmix_bench.specs.corruptions import CORRUPTIONS, SEVERITIES, Corruption

if TYPE_CHECKING:
    import pandas as pd

#: What stands in ``corruption`` of images as they are.
WITHOUT = ""

#: What an image is asked of a model, but for itself: under each corruption at each severity.
VERSIONS = len(CORRUPTIONS) * SEVERITIES

_TYPES = {
    **{"corruption": pa.string(), "severity": pa.int64(), "index": pa.int64()},
    **{"label": pa.int64(), "correct": pa.bool_(), "pred": pa.int64(), "margin": pa.float64()},
}
#: Images of a test set, at most.
_MOST = 10_000_000


def read_corrupted(file: Path) -> pd.DataFrame:
    """Read a file of outcomes; raises :class:`UserError` where it is none."""
    try:
        found: pd.DataFrame = read_columns(file, _TYPES, (1 + VERSIONS) * _MOST).to_pandas()
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not an outcomes file of corruptions: {error}") from error
    return found


def accuracies_of(outcomes: pd.DataFrame) -> tuple[float, dict[Corruption, tuple[float, ...]]]:
    """Return the clean accuracy, and by corruption those at severities 1 to 5, exactly count/N."""
    cells = outcomes.groupby(["corruption", "severity"])["correct"]
    right, n = cells.sum(), cells.size()

    def share(corruption: str, severity: int) -> float:
        return int(right[corruption, severity]) / int(n[corruption, severity])

    return share(WITHOUT, 0), {
        name: tuple(share(name, severity) for severity in range(1, SEVERITIES + 1))
        for name in CORRUPTIONS
    }


def image_means(outcomes: pd.DataFrame) -> pd.DataFrame:
    """Return what a model gets right of each image, by rising ``index``, from all its outcomes.

    ``clean_acc`` is 0 or 1, and ``corruption_acc`` the share of the image's corrupted versions,
    0 to 1. Raises :class:`UserError` where an image lacks one of them.
    """
    plain = outcomes["corruption"] == WITHOUT
    clean = outcomes[plain].set_index("index")["correct"].sort_index()
    versions = outcomes[~plain].groupby("index")["correct"].agg(["size", "mean"])
    if not (clean.index.equals(versions.index) and (versions["size"] == VERSIONS).all()):
        raise UserError(f"an image has not {VERSIONS} corrupted versions")
    means = versions.assign(clean_acc=clean, corruption_acc=versions["mean"])
    return means[["clean_acc", "corruption_acc"]].astype(float)


def read_image_means(path: Path, record: CorruptionRecord) -> pd.DataFrame:
    """Read the :func:`image_means` of the record at ``path``.

    Raises :class:`UserError` where the file of outcomes is missing, or disagrees with the record.
    """
    check_own_outcomes(path, record)
    file = own_outcomes_path(path)
    if not file.is_file():
        raise UserError(f"no outcomes per image at {file}")
    outcomes = read_corrupted(file)
    try:
        means = image_means(outcomes)
        same = accuracies_of(outcomes) == (record.clean_acc, record.accuracy)
    except (KeyError, UserError):  # a corruption, or an image, that it has not all of
        same = False
    if not same or len(means) != record.n_examples:
        raise UserError(f"{file} disagrees with its record: remove both and score anew")
    return means
