"""Estimates of the passes and seconds of runs, before they begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Seconds from which a grid is worth a warning.
HOURS = 2 * 3600


@dataclass(frozen=True)
class Estimate:
    """The expected cost of one run: passes of training and of scoring, and seconds.

    These are None where the run will work on another machine.
    """

    training: float
    scoring: float
    seconds: float | None

    @property
    def passes(self) -> float:
        """All passes of the run."""
        return self.training + self.scoring


@dataclass(frozen=True)
class Forecast:
    """The expected cost of the runs of a grid, and what it rests on.

    ``runs`` has an estimate for each whose data is here, by run_id; ``data`` says of each data set
    what there is of it, or what is missing. ``jobs`` runs go on at a time, on ``device``, which
    says in words where. A step of ``untried`` runs failed. Before the first pass go ``startup``
    seconds, beside those of the runs.
    """

    runs: Mapping[str, Estimate]
    data: Mapping[str, str]
    device: str
    jobs: int
    untried: int = 0
    startup: float = 0.0

    @property
    def warning(self) -> str | None:
        """Say what makes a grid shorter, where it takes this machine hours."""
        if self.seconds is None or self.seconds < HOURS:
            return None
        return (
            f"{self.seconds / 3600:,.0f} hours or so on {self.device}: --archs smallcnn or resnet8,"
            " --eval-examples 100 or --attacks apgd-ce,square are other runs, and shorter ones"
        )

    @property
    def seconds(self) -> float | None:
        """The time of all runs together, None where it is not known of one."""
        found = [run.seconds for run in self.runs.values() if run.seconds is not None]
        if len(found) < len(self.runs):
            return None
        return self.startup + max(sum(found) / self.jobs, max(found, default=0.0))
