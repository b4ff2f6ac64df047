"""Estimates of the passes and seconds of runs, before they begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """The expected cost of one run: passes of training and of scoring, and seconds."""

    training: float
    scoring: float
    seconds: float

    @property
    def passes(self) -> float:
        """All passes of the run."""
        return self.training + self.scoring


@dataclass(frozen=True)
class Forecast:
    """The expected cost of the runs of a grid on this machine, and what it rests on.

    ``runs`` has an estimate for each whose data is here, by run_id; ``data`` says of each data set
    what there is of it, or what is missing. ``jobs`` runs go on at a time, on ``device``. A step of
    ``untried`` runs failed.
    """

    runs: Mapping[str, Estimate]
    data: Mapping[str, str]
    device: str
    jobs: int
    untried: int = 0

    @property
    def seconds(self) -> float:
        """The time of all runs together."""
        found = [run.seconds for run in self.runs.values()]
        return max(sum(found) / self.jobs, max(found, default=0.0))
