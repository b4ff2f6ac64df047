"""The union of threats, per image: what holds under every one of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from regmix_bench.errors import UserError
from regmix_bench.records.outcomes import (
    CLEAN_CORRECT,
    INDEX,
    PGD_CORRECT,
    ImageOutcomes,
    held,
    read_images,
    read_outcomes,
    recorded_outcomes,
)
from regmix_bench.records.schema import (
    AnyRecord,
    EvalRecord,
    RobustEval,
    RunRecord,
    Score,
    UnionScore,
    parts_of,
)
from regmix_bench.types import ThreatModel

if TYPE_CHECKING:
    import pandas as pd


def several_norms(threats: Iterable[ThreatModel]) -> bool:
    """Return whether threats have a union to speak of: under one norm the largest is all of it."""
    return len({threat.norm for threat in threats}) > 1


def union_of(scores: Sequence[RobustEval], tables: Iterable[pd.DataFrame]) -> UnionScore | None:
    """Return the union of ``scores`` of one checkpoint, each with its table of outcomes.

    None where they are of one norm. The tables have the columns that every file of outcomes has.
    """
    import pandas as pd

    if not several_norms(score.threat for score in scores):
        return None
    flags = []
    for score, table in zip(scores, tables, strict=True):
        index = pd.Index(table[INDEX], name=INDEX)
        robust = held(table).to_numpy()
        right = {
            "clean_acc": table[CLEAN_CORRECT].to_numpy(),
            "pgd_acc": table[PGD_CORRECT].to_numpy(),
            **{name: robust for name in _ROBUST if getattr(score, name) is not None},
        }
        flags.append(pd.DataFrame(right, index=index))
    return _union(scores, held_under_all(flags))


def held_under_all(flags: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return for each image and metric whether it is right under every threat.

    ``flags`` are bool columns named like the metrics, by ``index``, one table a threat; metrics
    that one of them lacks are left out.
    """
    import pandas as pd

    common = [name for name in flags[0] if all(name in each for each in flags)]
    return pd.concat([each[common] for each in flags]).groupby(level=0).all()


def read_score(file: Path, score: Score, evaluations: Sequence[RobustEval]) -> ImageOutcomes:
    """Read the images that each metric of a score counts as right, by rising index.

    ``file`` holds the outcomes of all ``evaluations`` of the model. Raises :class:`UserError` where
    it disagrees with one that the score is of, or holds other images under one than another.
    """
    found = [_in_order(read_images(file, each)) for each in parts_of(score, evaluations)]
    first = found[0]
    if any(not np.array_equal(each.index, first.index) for each in found):
        raise UserError(f"{file} holds outcomes of different images under each threat")
    metrics = [name for name in first.right if getattr(score, name) is not None]
    right = {name: np.logical_and.reduce([each.right[name] for each in found]) for name in metrics}
    return ImageOutcomes(first.index, first.labels, right)


def _in_order(images: ImageOutcomes) -> ImageOutcomes:
    order = images.index.argsort()
    right = {name: flags[order] for name, flags in images.right.items()}
    return ImageOutcomes(images.index[order], images.labels[order], right)


def require_unions(path: Path, record: AnyRecord) -> None:
    """Raise :class:`UserError` where a recorded union is not that of the outcomes of ``record``.

    Nor may a checkpoint that was scored under several norms have none, or more than one.
    """
    if not isinstance(record, RunRecord | EvalRecord):
        return
    wanted = 1 if several_norms(record.spec.eval_threats) else 0
    found = Counter(union.checkpoint for union in record.unions)
    for checkpoint in {score.checkpoint for score in record.evaluations}:
        if found[checkpoint] != wanted:
            raise UserError(
                f"{path} says {found[checkpoint]} unions of {checkpoint}, and its threats have"
                f" {wanted}"
            )
    for union in record.unions:
        each = (record.evaluation(union.checkpoint, threat) for threat in record.spec.eval_threats)
        scores = [score for score in each if score is not None]
        files = [(recorded_outcomes(path, score), score) for score in scores]
        flags = [read_outcomes(file, score) for file, score in files if file is not None]
        if len(flags) == len(scores) and _union(scores, held_under_all(flags)) != union:
            raise UserError(f"{path} says another union of {union.checkpoint} than its outcomes")


_ROBUST = ("autoattack_acc", "screened_acc")


def _union(scores: Sequence[RobustEval], right: pd.DataFrame) -> UnionScore:
    return UnionScore(
        checkpoint=scores[0].checkpoint,
        threats=tuple(score.threat for score in scores),
        n_examples=len(right),
        **{str(name): float(share) for name, share in right.mean().items()},
    )
