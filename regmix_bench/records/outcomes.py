"""The per-image outcomes of a scored checkpoint: the one schema of their file, for all who use it.

One row per image and threat. ``norm`` and ``epsilon`` name the threat, ``index`` is the image's
position in the test split and ``label`` its class. ``clean_correct`` and ``pgd_correct`` (clean
correct too) are bool; ``broken_by`` names the attack of the ensemble that broke the image, "" where
it held. Then there are predictions and margins, clean and adversarial. A margin is the true logit
minus the largest other one. The adversarial image is the one that broke the model, or else the end
point of PGD.

A stage has columns that begin with its name: ``_norm`` of the perturbation and ``_margin`` after
it, and for an attack of the ensemble whether it ``_broke`` the image. All are missing where the
attack was spared, because the image was misclassified or broken before. A black box has
``_queries`` too: the forward passes until an image was found, or all that it spent where none was.

Of a checkpoint that AutoAttack did not score there are the columns that every file has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from regmix_bench.errors import UserError
from regmix_bench.records.parquet import has_columns, read_columns
from regmix_bench.records.paths import outcomes_path, views_path
from regmix_bench.records.schema import (
    MOST_CLASSES,
    AnyRecord,
    CorruptionRecord,
    RobustEval,
    RunRecord,
    TransferRecord,
)
from regmix_bench.records.store import check_own_outcomes, write_parquet
from regmix_bench.specs.run import MOST_THREATS
from regmix_bench.system.files import file_digest
from regmix_bench.types import Epsilon, ThreatModel

if TYPE_CHECKING:
    import pandas as pd

NORM, EPSILON, INDEX, LABEL = "norm", "epsilon", "index", "label"
CLEAN_CORRECT, PGD_CORRECT, BROKEN_BY = "clean_correct", "pgd_correct", "broken_by"
CLEAN_PRED, ADV_PRED = "clean_pred", "adv_pred"
CLEAN_MARGIN, ADV_MARGIN = "clean_margin", "adv_margin"

#: What stands in ``broken_by`` where an image held.
HELD = ""

_TYPES = {
    **{NORM: pa.string(), EPSILON: pa.string(), INDEX: pa.int64(), LABEL: pa.int64()},
    **{CLEAN_CORRECT: pa.bool_(), PGD_CORRECT: pa.bool_(), BROKEN_BY: pa.string()},
}

#: The columns that give the accuracies, which every file has.
REQUIRED = tuple(_TYPES)

#: The stages that every image goes through: without an attack, and PGD-20.
CLEAN, PGD = "clean", "pgd"

Measure = Literal["broke", "norm", "margin", "queries"]


def stage_column(stage: str, measure: Measure) -> str:
    """Return the name of a stage's column: ``square_broke``."""
    return f"{stage}_{measure}"


@dataclass(frozen=True)
class ImageOutcomes:
    """The images that each metric counts as right.

    ``index`` (N,) are positions in the test split, ``labels`` (N,) the images' classes, and
    ``right``, by metric, is bool (N,).
    """

    index: NDArray[np.int64]
    labels: NDArray[np.int64]
    right: dict[str, NDArray[np.bool_]]


def write_outcomes(path: Path, tables: Iterable[pd.DataFrame]) -> str:
    """Write the outcomes under each threat as one file, atomically; returns its SHA-256.

    Raises ``ValueError`` where a table lacks a column that every file has.
    """
    import pandas as pd

    frame = pd.concat(tables)
    if missing := [name for name in REQUIRED if name not in frame]:
        raise ValueError(f"outcomes without {', '.join(missing)}")
    return write_parquet(path, frame)


def held(outcomes: pd.DataFrame) -> pd.Series[bool]:
    """Return which images are right and stay so under all attacks of the ensemble."""
    return outcomes[CLEAN_CORRECT] & (outcomes[BROKEN_BY] == HELD)


def recorded_outcomes(record: Path, evaluation: RobustEval) -> Path | None:
    """Return the outcomes file of a score in the record at a path, or None where it has none.

    Raises :class:`UserError` where the score names a digest, and the file is not there.
    """
    file = outcomes_path(record, evaluation.checkpoint)
    if file.is_file():
        return file
    if evaluation.outcomes_digest is not None:
        raise UserError(f"{file} is missing, the outcomes that {record.name} names")
    return None


def require_files(path: Path, record: AnyRecord) -> None:
    """Raise :class:`UserError` where ``record``, at ``path``, names a digest of a missing file.

    Weights and adversarial images may be missing: they may stay on the machine that made them.
    """
    if isinstance(record, TransferRecord | CorruptionRecord):
        check_own_outcomes(path, record)
        return
    for evaluation in record.evaluations:
        recorded_outcomes(path, evaluation)
    if isinstance(record, RunRecord) and record.views_digest is not None:
        file = views_path(path)
        if not file.is_file():
            raise UserError(f"{file} is missing: `regmix-bench inspect` makes it anew")


def require_outcomes(path: Path, record: RunRecord) -> None:
    """Raise :class:`UserError` where scores of ``record``, at ``path``, are not what is recorded.

    Of a score whose outcomes were never kept nothing can be said.
    """
    for evaluation in record.evaluations:
        if (file := recorded_outcomes(path, evaluation)) is not None:
            read_images(file, evaluation)


def read_outcomes(file: Path, evaluation: RobustEval) -> pd.DataFrame:
    """Read a file as :func:`read_images`, as bool columns named like the metrics, by ``index``."""
    import pandas as pd

    found = read_images(file, evaluation)
    return pd.DataFrame(found.right, index=pd.Index(found.index, name=INDEX))


def read_images(file: Path, evaluation: RobustEval) -> ImageOutcomes:
    """Read the outcomes of ``evaluation`` in the order of ``file``.

    The metrics are the accuracies that it has. Raises :class:`UserError` where the file is no
    outcomes file or disagrees with the evaluation.
    """
    threat, n, digest = evaluation.threat, evaluation.n_examples, evaluation.outcomes_digest
    if digest is not None and file_digest(file) != digest:
        raise UserError(f"{file} is not the outcomes file of its record: its SHA-256 differs")
    try:
        # A report reads thousands, and pandas would take most of its time.
        table = read_columns(file, _TYPES, n * MOST_THREATS)
        here = _where(table[NORM], lambda norm: norm == threat.norm)
        same = str(threat.epsilon)
        here &= _where(table[EPSILON], lambda e: e == same or Epsilon(e) == threat.epsilon)
    except (OSError, ValueError, KeyError, UserError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{file} is not an outcomes file: {reason}") from error
    clean, pgd = (
        table[name].to_numpy()[here].astype(bool) for name in (CLEAN_CORRECT, PGD_CORRECT)
    )
    robust = clean & _where(table[BROKEN_BY], lambda attack: attack == HELD)[here]
    flags = {
        "clean_acc": clean,
        "pgd_acc": clean & pgd,
        "autoattack_acc": robust,
        "screened_acc": robust,
    }
    right = {name: held for name, held in flags.items() if getattr(evaluation, name) is not None}
    index, labels = (table[name].to_numpy()[here] for name in (INDEX, LABEL))
    recorded = [round(getattr(evaluation, name) * n) for name in right]
    counted = [int(held.sum()) for held in right.values()]
    if len(index) != n or len(np.unique(index)) != n or counted != recorded:
        raise UserError(f"{file} does not hold the outcomes that its record counts")
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise UserError(f"{file} is not an outcomes file: its labels are not below {MOST_CLASSES}")
    return ImageOutcomes(index, labels, right)


def read_measured(
    file: Path, evaluations: Sequence[RobustEval], index: NDArray[np.int64]
) -> dict[ThreatModel, pd.DataFrame]:
    """Read all that was measured under each threat, by ``index`` (N,); NaN where it has no row.

    Raises :class:`UserError` where the file is not one of these evaluations, or holds other images.
    """

    tables = {}
    try:
        stages = {name for e in evaluations for name in _stage_columns(e.after_attack)}
        measured = {name: _stage_type(name) for name in stages}
        most = len(index) * MOST_THREATS
        frame = read_columns(file, {**_TYPES, **measured}, most, nullable=measured).to_pandas()
        for (norm, epsilon), table in frame.groupby([NORM, EPSILON]):
            threat = ThreatModel(str(norm), Epsilon(str(epsilon)))
            tables[threat] = table.set_index(INDEX)
        for evaluation in evaluations:
            table = tables[evaluation.threat]
            if not table.index.isin(index).all():
                raise ValueError("it has images that were not scored")
            columns = [*_FLAGS, *_stage_columns(evaluation.after_attack)]
            tables[evaluation.threat] = table[columns].reindex(index)
    except KeyError as error:
        raise UserError(f"{file} is not the outcomes file of its record: no {error}") from error
    except (OSError, ValueError, UserError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file} is not the outcomes file of its record: {reason}") from error
    return tables


@dataclass(frozen=True)
class SpentQueries:
    """The queries of the black box that attacked each image that is right, of N that were scored.

    ``found`` (M,) are those that broke one, sorted; ``right`` is the number of images that are
    right without an attack, and ``most`` the queries that one may take.
    """

    attack: str
    n: int
    right: int
    found: NDArray[np.int64]
    most: int

    def accuracy(self, queries: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the accuracies (0 to 1) that so many queries an image leave."""
        broken = np.searchsorted(self.found, queries, side="right")
        return (self.right - broken) / self.n


def read_queries(file: Path, evaluation: RobustEval) -> SpentQueries | None:
    """Read what a black box spent, where it was the first attack and counted its queries.

    Those that another attack spared it are no part of what it can do alone. Raises
    :class:`UserError` where the file is not that of ``evaluation``.
    """
    first = next(iter(evaluation.after_attack), "")
    columns = {stage_column(first, "broke"): pa.bool_(), stage_column(first, "queries"): pa.int64()}
    if evaluation.screened_acc is not None or not has_columns(file, columns):
        return None
    right = read_images(file, evaluation).right["clean_acc"]
    most = evaluation.n_examples * MOST_THREATS
    try:
        table = read_columns(file, {**_TYPES, **columns}, most, nullable=columns).to_pandas()
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not an outcomes file: {error}") from error
    here = table[NORM].eq(evaluation.threat.norm)
    here &= table[EPSILON].map(Epsilon).eq(evaluation.threat.epsilon)
    seen = table[here].dropna(subset=list(columns))
    broke, queries = (seen[name].to_numpy() for name in columns)
    found = np.sort(queries[broke.astype(bool)].astype(np.int64))
    return SpentQueries(first, len(right), int(right.sum()), found, int(queries.max(initial=1)))


_FLAGS = (LABEL, CLEAN_CORRECT, PGD_CORRECT, BROKEN_BY)


def _stage_columns(members: Iterable[str]) -> Iterable[str]:
    """The columns of PGD and of the attacks of an ensemble, each once."""
    members = list(members)
    measures: tuple[Measure, ...] = ("norm", "margin")
    measured = [stage_column(s, measure) for s in (PGD, *members) for measure in measures]
    return dict.fromkeys([*(stage_column(stage, "broke") for stage in members), *measured])


def _stage_type(column: str) -> pa.DataType:
    return pa.bool_() if column.endswith("_broke") else pa.float64()


def _where(column: pa.ChunkedArray[Any], holds: Callable[[Any], bool]) -> NDArray[np.bool_]:
    """For each row whether its value ``holds``, which is asked once for each distinct value."""
    codes = column.combine_chunks().dictionary_encode("encode")
    found = np.array([holds(value) for value in codes.dictionary.to_pylist()], bool)
    answers: NDArray[np.bool_] = found[codes.indices.to_numpy()]
    return answers
