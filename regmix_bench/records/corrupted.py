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
from regmix_bench.specs.corruptions import CORRUPTIONS, SEVERITIES, Corruption

if TYPE_CHECKING:
    import pandas as pd

#: What stands in ``corruption`` of images as they are.
WITHOUT = ""

_TYPES = {
    **{"corruption": pa.string(), "severity": pa.int64(), "index": pa.int64()},
    **{"label": pa.int64(), "correct": pa.bool_(), "pred": pa.int64(), "margin": pa.float64()},
}
#: Images of a test set, at most.
_MOST = 10_000_000


def read_corrupted(file: Path) -> pd.DataFrame:
    """Read a file of outcomes; raises :class:`UserError` where it is none."""
    try:
        cells = 1 + len(CORRUPTIONS) * SEVERITIES
        found: pd.DataFrame = read_columns(file, _TYPES, cells * _MOST).to_pandas()
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
