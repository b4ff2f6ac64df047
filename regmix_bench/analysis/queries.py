"""Accuracy against the queries of a black box, of all rows that stand in one table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from regmix_bench.records.outcomes import SpentQueries, read_queries, recorded_outcomes
from regmix_bench.records.schema import RobustEval
from regmix_bench.types import ThreatModel

#: Places of a curve, as many to a decade, beside its last.
PER_DECADE = 20


@dataclass(frozen=True)
class QueryCurves:
    """The queries that a black box spent on each seed of each row of a table, by its label.

    ``subject`` is the table's stem, ``words`` names the data, ``threat`` is the budget, and
    ``files`` are those of the outcomes.
    """

    subject: str
    words: str
    threat: ThreatModel
    rows: Mapping[str, tuple[SpentQueries, ...]]
    files: tuple[Path, ...]

    @classmethod
    def of(
        cls,
        subject: str,
        words: str,
        threat: ThreatModel,
        scores: Mapping[str, Sequence[tuple[Path, RobustEval]]],
    ) -> QueryCurves:
        """Read them off the outcomes of scores, of which each has the path of its record.

        A row of which no black box alone was asked is left out. Raises :class:`UserError` where a
        file of outcomes is missing or another one.
        """
        files = []
        rows: dict[str, list[SpentQueries]] = defaultdict(list)
        for label, each in scores.items():
            for path, score in each:
                # No version of AutoAttack begins with a black box.
                asked = score.autoattack_version == "custom"
                file = recorded_outcomes(path, score) if asked else None
                if file is not None and (spent := read_queries(file, score)) is not None:
                    rows[label].append(spent)
                    files.append(file)
        return cls(
            subject, words, threat, {label: tuple(rows[label]) for label in rows}, tuple(files)
        )

    @property
    def queries(self) -> npt.NDArray[np.int64]:
        """Return numbers of queries at which curves are read, the last of them all there were."""
        most = max(seed.most for seeds in self.rows.values() for seed in seeds)
        steps = np.geomspace(1, most, 1 + int(PER_DECADE * np.log10(max(most, 10))))
        return np.unique(steps.round().astype(np.int64))

    def accuracy(self, label: str) -> npt.NDArray[np.float64]:
        """Return the accuracy (0 to 1) of a row at each of :attr:`queries`, mean over seeds."""
        seeds = np.array([seed.accuracy(self.queries) for seed in self.rows[label]])
        mean: npt.NDArray[np.float64] = seeds.mean(axis=0)
        return mean
