"""Estimates of the passes and seconds of runs, before they begin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

#: Seconds from which a grid is worth a warning.
HOURS = 2 * 3600
#: The work for each processor from which a machine is busy with others': its own is one of it.
BUSY = 2


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
        return None if self.seconds is None else hours_warning(self.seconds, self.device)

    @property
    def seconds(self) -> float | None:
        """The time of all runs together, None where it is not known of one."""
        found = [run.seconds for run in self.runs.values() if run.seconds is not None]
        if len(found) < len(self.runs):
            return None
        return self.startup + max(sum(found) / self.jobs, max(found, default=0.0))


def hours_warning(seconds: float, device: str) -> str | None:
    """Say what makes ``seconds`` on a ``device`` less, where they are hours."""
    if seconds < HOURS:
        return None
    shorter = (
        "--archs smallcnn or resnet8, --eval-examples 100 or --attacks apgd-ce,square are other"
        " runs, and shorter ones"
    )
    return f"{seconds / 3600:,.0f} hours or so on {device}: {shorter}{_busy()}"


def _busy() -> str:
    """Say that other work holds up this machine, where there is more than it has processors for.

    Threads that wait for each other then wait for whatever runs in between: on two processors with
    four times their work, two threads trained a thirtieth of the images that one did.
    """
    if not hasattr(os, "getloadavg"):  # Windows has none
        return ""
    load, processors = os.getloadavg()[0], os.cpu_count() or 1
    if load < BUSY * processors:
        return ""
    return (
        f"; other work keeps the {processors} processors busy (load {load:.0f}), where one thread,"
        " OMP_NUM_THREADS=1, may be many times as fast as several"
    )
