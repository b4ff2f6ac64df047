"""Runs that go on, wait, were interrupted or have failed, as the files of a results folder say.

It is looked at again and again, so that a look reads only the files that have changed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from regmix_bench.records.locks import is_held
from regmix_bench.records.paths import ARTIFACTS, GRID, LOCK, PROGRESS
from regmix_bench.records.progress import Progress
from regmix_bench.records.running import GridEvent, GridPlan, RunStatus
from regmix_bench.records.schema import EpochLog
from regmix_bench.system.reading import open_regular, read_bytes

#: How a run stands that is under way, in the order in which they are shown.
Standing = Literal["running", "interrupted", "failed", "waiting"]

_ORDER = get_args(Standing)


@dataclass(frozen=True)
class WatchedRun:
    """A run that is under way: its standing, and as far as it has any, its progress and epochs.

    ``written`` is the time of its ``progress``, in seconds since 1970; ``reason`` says why it
    failed.
    """

    run_id: str
    name: str
    standing: Standing
    written: float | None = None
    progress: Progress | None = None
    reason: str = ""
    history: tuple[EpochLog, ...] = ()


class RunWatcher:
    """Watches what is under way below ``results``."""

    def __init__(self, results: Path) -> None:
        self._folder = results / ARTIFACTS
        self._grids: dict[str, _Grid] = {}
        self._statuses: dict[Path, _Seen[RunStatus]] = {}
        self._histories: dict[Path, _Seen[EpochLog]] = {}

    def look(self) -> list[WatchedRun]:
        """Return the runs under way, in the order of :data:`Standing`.

        A file that is damaged or gone says nothing, and nothing is raised for it.
        """
        grids, statuses = self._read()
        found = {run.run_id: run for grid in grids for run in grid.runs()}
        for folder, status in statuses.items():
            planned = found.get(status.run_id)
            if is_held(folder / LOCK):
                found[status.run_id] = self._of(folder, status, "running")
            elif planned is None or planned.standing == "running":
                # A launcher that has begun it may not have its process yet.
                standing: Standing = "interrupted" if planned is None else "running"
                found[status.run_id] = self._of(folder, status, standing)
        return sorted(found.values(), key=lambda run: _ORDER.index(run.standing))

    def _read(self) -> tuple[list[_Grid], dict[Path, RunStatus]]:
        grids, statuses, present = [], {}, set()
        for entry in self._entries():
            if entry.name.startswith(GRID) and entry.name.endswith(".jsonl"):
                present.add(entry.name)
                grid = self._grids.setdefault(entry.name, _Grid(Path(entry.path)))
                if grid.goes_on():
                    grids.append(grid)
            elif not entry.name.startswith("."):
                folder = Path(entry.path)
                seen = self._statuses.setdefault(folder, _Seen(folder / PROGRESS, RunStatus))
                if (found := seen.look()) and found[0].run_id == entry.name:
                    statuses[folder] = found[0]
        for gone in self._grids.keys() - present:
            del self._grids[gone]
        for folder in self._histories.keys() - statuses.keys():
            del self._histories[folder]
        return grids, statuses

    def _entries(self) -> Iterator[os.DirEntry[str]]:
        with suppress(OSError), os.scandir(self._folder) as entries:
            yield from entries

    def _of(self, folder: Path, status: RunStatus, standing: Standing) -> WatchedRun:
        new = _Seen(folder / "train.jsonl", EpochLog)
        history = self._histories.setdefault(folder, new).look()
        return WatchedRun(
            status.run_id,
            status.name,
            standing,
            status.written,
            status.progress,
            history=tuple(history),
        )


_Line = TypeVar("_Line", bound=BaseModel)


@dataclass
class _Seen(Generic[_Line]):
    """A file of JSON lines that is replaced whole, as it was last read; empty where it is not."""

    path: Path
    model: type[_Line]
    stamp: tuple[int, int] | None = None
    lines: list[_Line] = field(default_factory=list)

    def look(self) -> list[_Line]:
        try:
            status = os.stat(self.path)
            stamp = status.st_mtime_ns, status.st_ino
            if stamp != self.stamp:
                content = read_bytes(self.path)
                self.lines = [self.model.model_validate_json(x) for x in content.splitlines()]
                self.stamp = stamp
        except (OSError, ValidationError):
            self.lines, self.stamp = [], None
        return self.lines


@dataclass
class _Grid:
    """The file of a grid, which grows line by line, as far as it has been read."""

    path: Path
    offset: int = 0
    plan: GridPlan | None = None
    events: dict[str, GridEvent] = field(default_factory=dict)

    def goes_on(self) -> bool:
        """Read what is new; a line that is half written is left for the next time."""
        try:
            if not is_held(self.path):
                return False
            with open_regular(self.path) as stream:
                stream.seek(self.offset)
                whole, newline, _ = stream.read().rpartition(b"\n")
            self.offset += len(whole + newline)
            for line in whole.splitlines():
                if self.plan is None:
                    self.plan = GridPlan.model_validate_json(line)
                else:
                    event = GridEvent.model_validate_json(line)
                    self.events[event.run_id] = event
        except (OSError, ValidationError):
            return False
        return self.plan is not None

    def runs(self) -> Iterator[WatchedRun]:
        """Yield those that wait, run or have failed."""
        for run_id, name in self.plan.runs.items() if self.plan else ():
            event = self.events.get(run_id)
            if event is None:
                yield WatchedRun(run_id, name, "waiting")
            elif not event.ended:
                yield WatchedRun(run_id, name, "running")
            elif event.error is not None:
                yield WatchedRun(run_id, name, "failed", reason=event.error)
