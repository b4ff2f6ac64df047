"""The runs of a grid that go on, and how long they and the others will take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from regmix_bench.records.words import model_name
from regmix_bench.specs import CorruptionSpec, RunSpec

if TYPE_CHECKING:
    from regmix_bench.records.progress import Progress
    from regmix_bench.runs.forecast import Forecast
    from regmix_bench.specs import AnySpec


@dataclass
class RunLine:
    """A run that goes on, since ``started`` on a clock in seconds, and the news of it.

    ``told`` is when ``progress`` was heard; ``begun`` the share (0 to 1) that was done when it was
    first heard, as of a run that resumes; ``news`` are its latest numbers. ``called`` names it in
    place of what its specification says.
    """

    spec: AnySpec
    number: int
    started: float
    progress: Progress | None = None
    told: float = 0.0
    begun: float = 0.0
    news: str = ""
    said: float = 0.0
    called: str | None = None

    @property
    def name(self) -> str:
        """The method, or the label of a model that is given."""
        return model_name(self.spec)

    @property
    def share(self) -> float:
        """The share of its cost, from 0 to 1, that is done."""
        return self.progress.share if self.progress else 0.0

    def hear(self, progress: Progress, now: float) -> None:
        """Take over how far it is."""
        if self.progress is None:
            self.begun = progress.share
        self.progress, self.told = progress, now

    def left(self, now: float) -> float | None:
        """Return the seconds that are left of it, None before anything is measured."""
        if self.progress is None or self.progress.seconds_left is None:
            return None
        return max(0.0, self.progress.seconds_left - (now - self.told))

    def stages(self) -> Iterator[str]:
        """Yield the stage that it is in, in fewer and fewer words."""
        found = self.progress
        if found is None:
            yield "starting"
        elif found.stage == "pseudo-labels":
            yield f"standard model: epoch {found.epoch}/{found.epochs}"
            yield f"labels {found.epoch}/{found.epochs}"
        elif found.stage == "training":
            yield f"epoch {found.epoch}/{found.epochs}"
            yield f"{found.epoch}/{found.epochs}"
        elif found.stage == "diagnosis":
            yield "diagnosis"
        else:
            threats = {*()} if isinstance(self.spec, CorruptionSpec) else {*self.spec.eval_threats}
            threats |= {*self.spec.pgd_threats} if isinstance(self.spec, RunSpec) else {*()}
            weights = "" if found.checkpoint in ("selected", "given") else f"{found.checkpoint} "
            threat = f" {found.threat}" if len(threats) > 1 else ""
            images, all_images = found.images_done or 0, found.images or 1
            several = found.parts is not None and found.parts > 1
            number = f"{found.part}/{found.parts} " if several else ""
            done = f"{images:,}/{all_images:,}"
            yield f"{number}{weights}{found.attack}{threat} {done}"
            yield f"{number}{found.attack}{threat} {done}"
            yield f"{number}{found.attack} {done}"
            yield f"{found.attack} {done}"
            yield f"{found.attack} {images / all_images:.0%}"


@dataclass
class Cells:
    """The runs of a grid: how many there are in all and have ended, and those that go on.

    ``expected`` are the seconds that each is forecast to take, by run_id, or its passes where no
    seconds are ``known``; where nothing is, each counts alike. What ended runs took corrects it.
    Before its first pass a run takes ``startup`` seconds. ``unit`` is what one is called,
    ``called`` are names of some, by run_id.
    """

    total: int = 0
    number: int = 0
    ended: int = 0
    failed: int = 0
    going: dict[str, RunLine] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)
    known: bool = False
    jobs: int = 1
    startup: float = 0.0
    unit: str = "run"
    called: dict[str, str] = field(default_factory=dict)
    _done: float = 0.0
    _measured: float = 0.0
    _took: float = 0.0

    def forecast(self, found: Forecast) -> None:
        """Take over what the runs are expected to take."""
        self.known = found.seconds is not None
        self.expected = {
            run_id: run.passes if run.seconds is None else run.seconds
            for run_id, run in found.runs.items()
        }
        self.jobs, self.startup = found.jobs, found.startup

    def start(self, spec: AnySpec, now: float) -> RunLine:
        """Begin with a run."""
        self.number += 1
        cell = RunLine(spec, self.number, now, called=self.called.get(spec.run_id))
        self.going[spec.run_id] = cell
        return cell

    def end(self, run_id: str, failed: bool, now: float) -> RunLine:
        """End with a run, which may have failed."""
        cell = self.going.pop(run_id)
        self.ended += 1
        self.failed += failed
        self._done += self._cost(run_id)
        if not failed:
            self._measured += self._cost(run_id) * (1 - cell.begun)
            self._took += now - cell.started
        return cell

    @property
    def share(self) -> float:
        """The share of the cost of all, from 0 to 1, that is done."""
        whole = sum(self.expected.values()) or float(self.total or 1)
        done = self._done + sum(self._cost(i) * cell.share for i, cell in self.going.items())
        return min(1.0, done / whole)

    def left(self, now: float) -> float | None:
        """Return the seconds that are left of all, None where nothing is known yet."""
        pace = self._pace(now)
        if pace is None:
            return None
        going = []
        for run_id, cell in self.going.items():
            left = cell.left(now)
            going.append(self._unmeasured(run_id, pace, now) if left is None else left)
        waiting = self.total - self.ended - len(self.going)
        costs = sum(self.expected.values()) - self._done
        costs -= sum(self._cost(run_id) for run_id in self.going)
        to_begin = max(0.0, costs) * pace if self.expected else waiting * pace
        # How many a cluster takes at a time shows only as they go on.
        jobs = max(self.jobs, len(self.going))
        busy = max(1, min(jobs, self.total - self.ended))
        first = self.startup if not self.number else 0.0
        return first + max((sum(going) + to_begin) / busy, max(going, default=0.0))

    def cell_left(self, run_id: str, now: float) -> float | None:
        """Return the seconds that are left of a run, by the forecast before it is measured."""
        cell = self.going[run_id]
        if (left := cell.left(now)) is not None or run_id not in self.expected:
            return left
        pace = self._pace(now)
        return None if pace is None else self._unmeasured(run_id, pace, now)

    def _unmeasured(self, run_id: str, pace: float, now: float) -> float:
        """Seconds that are left, by the forecast, of a run that has told of none."""
        cell = self.going[run_id]
        starting = max(0.0, self.startup - (now - cell.started)) if cell.progress is None else 0.0
        return starting + self._cost(run_id) * pace * (1 - cell.share)

    def _cost(self, run_id: str) -> float:
        return self.expected.get(run_id, 0.0) if self.expected else 1.0

    def _pace(self, now: float) -> float | None:
        """Seconds that one unit of cost takes: what was measured, else what was forecast."""
        took, cost = self._took, self._measured
        for run_id, cell in self.going.items():
            if (left := cell.left(now)) is not None:
                took += now - cell.started + left
                cost += self._cost(run_id) * (1 - cell.begun)
        if cost > 0:
            return took / cost
        return 1.0 if self.known else None
