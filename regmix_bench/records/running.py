"""Files that say what goes on in a results folder: one of each run, and one of each grid.

A run that is being trained or scored has ``progress.json`` in its artifacts, beside the lock that
its process holds and ``train.jsonl``, which has the epochs so far. A grid has a file of its own,
which it locks, of the runs that it has to do, and then a line for each that begins or ends. Both
are removed at the end; where a process was killed they stay, and nobody holds their locks.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Annotated, Literal

from pydantic import Field

from regmix_bench.errors import UserError
from regmix_bench.records.locks import is_held
from regmix_bench.records.paths import ARTIFACTS, GRID, PROGRESS, artifacts_dir
from regmix_bench.records.progress import Progress
from regmix_bench.records.words import spec_words
from regmix_bench.registry import FILE_NAME
from regmix_bench.specs import EvalSpec, RunSpec
from regmix_bench.system.files import atomic_write
from regmix_bench.types import Frozen

#: Seconds from one writing of a run's progress to the next.
INTERVAL = 1.0

RunId = Annotated[str, Field(pattern=FILE_NAME)]


class RunStatus(Frozen):
    """The standing of a run that goes on: its name, its process, and how far it is.

    ``written`` is the time of that, in seconds since 1970; ``progress`` is None until it trains or
    is scored.
    """

    schema_version: Literal[1] = 1
    run_id: RunId
    name: str
    process: str
    written: Annotated[float, Field(ge=0, le=1e11)]
    progress: Progress | None = None


class GridPlan(Frozen):
    """The first line of a grid's file: its process, and the names of its runs by their run_id."""

    schema_version: Literal[1] = 1
    process: str
    runs: dict[RunId, str]


class GridEvent(Frozen):
    """A line of a grid's file: a run has begun, or ``ended``, with an ``error`` if it failed."""

    run_id: RunId
    ended: bool = False
    error: str | None = None


class StatusFile:
    """Writes down how far a run is; where that cannot be, nothing is lost but this."""

    def __init__(
        self, results: Path, spec: RunSpec | EvalSpec, clock: Callable[[], float] = time.time
    ) -> None:
        self.path = artifacts_dir(results, spec.run_id) / PROGRESS
        self._run_id, self._name, self._clock = spec.run_id, spec_words(spec, symbols=True), clock
        self._due = float("-inf")

    def write(self, progress: Progress | None) -> None:
        """Write it whole, unless that was done less than a second ago."""
        if (now := self._clock()) < self._due:
            return
        self._due = now + INTERVAL
        status = RunStatus(
            run_id=self._run_id,
            name=self._name,
            process=this_process(),
            written=now,
            progress=progress,
        )
        with suppress(UserError), atomic_write(self.path, durable=False) as stream:
            stream.write(status.model_dump_json(exclude_none=True).encode())

    def remove(self) -> None:
        """Say that the run does not go on any more."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


class GridFile:
    """The file of a grid of ``runs``, their names by run_id, below ``results``, while it goes on.

    Files of grids that were killed are removed. Raises ``OSError`` where it cannot be written.
    """

    def __init__(self, results: Path, runs: Mapping[str, str]) -> None:
        folder = results / ARTIFACTS
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(f"{GRID}*.jsonl"):
            if not is_held(path):
                path.unlink(missing_ok=True)
        token = secrets.token_hex(6)
        self.path, new = folder / f"{GRID}{token}.jsonl", folder / f".tmp-{GRID}{token}"
        self._stream: IO[str] = new.open("x", encoding="utf-8")
        with suppress(OSError):  # of a file system that locks none
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._append(GridPlan(process=this_process(), runs=dict(runs)))
        new.rename(self.path)  # locked, or the next grid would remove it

    def begin(self, run_id: str) -> None:
        """Note that a run has begun."""
        self._append(GridEvent(run_id=run_id))

    def end(self, run_id: str, error: str | None) -> None:
        """Note that a run has ended, with an ``error`` where it failed."""
        self._append(GridEvent(run_id=run_id, ended=True, error=error))

    def close(self) -> None:
        """Remove the file."""
        self.path.unlink(missing_ok=True)
        self._stream.close()

    def _append(self, line: Frozen) -> None:
        self._stream.write(line.model_dump_json(exclude_none=True) + "\n")
        self._stream.flush()


def this_process() -> str:
    """Name this process, such as ``process 4711 on node-3``."""
    return f"process {os.getpid()} on {socket.gethostname()}"
