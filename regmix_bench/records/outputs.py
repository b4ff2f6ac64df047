"""Recorded outputs of a model, for plots: probabilities and features of some test images."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from regmix_bench.errors import UserError
from regmix_bench.records.parquet import read_columns
from regmix_bench.records.schema import MOST_CLASSES

#: Images whose outputs are kept for plots.
OUTPUT_EXAMPLES = 500


class Outputs(NamedTuple):
    """Softmax outputs or penultimate features (N, D) of N images, clean and attacked; labels (N,).

    All are finite. Labels are below D where these are softmax outputs.
    """

    labels: NDArray[np.int64]
    clean: NDArray[np.float64]
    adversarial: NDArray[np.float64]


def read_outputs(path: Path, quantity: Literal["probs", "features"]) -> Outputs:
    """Read one quantity of a file of outputs; raises :class:`UserError` where it is not such."""
    columns = {"label": pa.int64(), f"{quantity}_clean": None, f"{quantity}_adv": None}
    try:
        table = read_columns(path, columns, OUTPUT_EXAMPLES)
        labels = table["label"].to_numpy()
        clean, adversarial = (_array(table[name]) for name in list(columns)[1:])
        if clean.shape != adversarial.shape:
            raise ValueError("clean and attacked outputs are of different lengths")
        classes = clean.shape[1] if quantity == "probs" else MOST_CLASSES
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"it has labels that are not below {classes}")
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path} does not hold recorded outputs: {reason}") from error
    return Outputs(labels, clean, adversarial)


def _array(column: pa.ChunkedArray[Any]) -> NDArray[np.float64]:
    """Lists of numbers, all of one length, as (N, D)."""
    lists = column.combine_chunks()
    if not pa.types.is_list(lists.type) or not pa.types.is_floating(lists.type.value_type):
        raise ValueError(f"a column is of {lists.type}, and not of lists of numbers")
    lengths = set(lists.value_lengths().to_pylist())
    values = lists.flatten()
    if len(lengths) != 1 or 0 in lengths or values.null_count:
        raise ValueError("its lists are not of one length, or are empty")
    found = values.to_numpy(zero_copy_only=False).astype(np.float64)
    array: NDArray[np.float64] = found.reshape(len(lists), -1)
    if not np.isfinite(array).all():
        raise ValueError("it holds a value that is not a finite number")
    return array
