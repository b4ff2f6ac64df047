"""The runs of a grid as tasks of Ray (Moritz et al. 2018), on this machine or on a cluster.

Placing, retrying and counting are Ray's. A run whose worker or node is lost is started again, and
goes on from its own newest state.
"""

from __future__ import annotations

import os
import signal
import tempfile
import uuid
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from regmix_bench.distributed.group import GRACE
from regmix_bench.errors import UserError, reason
from regmix_bench.grid.launchers import Placement, Work
from regmix_bench.grid.local import ending
from regmix_bench.grid.plan import PlannedRun
from regmix_bench.grid.ray_cluster import connected, sigterm_held
from regmix_bench.models import ARCHS
from regmix_bench.records import paths
from regmix_bench.records.schema import RunRecord
from regmix_bench.runs.observers import Ending, Messenger, Observer
from regmix_bench.specs import RunSpec
from regmix_bench.system.files import atomic_write
from regmix_bench.system.reading import open_regular

#: How often Ray starts a run again whose worker or node was lost.
RETRIES = 10
#: Tasks submitted ahead of those that end, so that the driver's memory does not grow with the grid.
WINDOW = 200
GIB = 2**30


@dataclass(frozen=True)
class Home:
    """The place of the results for a task: the driver's folder if seen, else one of its node.

    ``token`` is the name of a file that lies in the driver's folder while the grid runs.
    ``working`` is the folder that relative paths start from.
    """

    results: Path
    token: str
    working: Path

    @property
    def shared(self) -> bool:
        """True where this process sees the driver's folder."""
        return (self.results / self.token).is_file()

    @property
    def folder(self) -> Path:
        """A node's own folder is the same for each try, so that these too go on."""
        return self.results if self.shared else Path(tempfile.gettempdir()) / self.token


@dataclass(frozen=True)
class Outcome:
    """The result of a task: a record or why there is none, and files that the driver lacks."""

    result: RunRecord | UserError
    files: tuple[tuple[str, bytes], ...] = ()


def resources(
    spec: RunSpec, device: torch.device, threads: int, devices: int = 1
) -> dict[str, float]:
    """Return what one run asks of Ray: CPUs, GPUs, bytes of memory.

    On one GPU a small network asks for a quarter of it. On several ``devices`` each is a process,
    with a GPU of its own, its memory, and a CPU at least.
    """
    small = ARCHS[spec.arch].small
    shared = 0.25 if small and devices == 1 else 1.0
    memory = (1 if small else 4) * GIB
    return {
        "num_cpus": max(threads, devices),
        "num_gpus": 0.0 if device.type == "cpu" else shared * devices,
        "memory": memory * devices,
    }


def launch(
    cells: Iterable[PlannedRun],
    work: Work,
    placement: Placement,
    observer: Observer,
) -> Generator[Ending, None, None]:
    """Run ``cells`` as tasks of Ray and yield each as it ends; ``observer`` hears all.

    Without an ``address`` a cluster of this machine is started, and ended with the generator; it
    runs ``jobs`` at a time. Each run takes a ``jobs``-th of this machine's threads, wherever it
    runs, so that its numbers are those of the local launcher, and ``devices`` GPUs. Raises
    :class:`UserError` where Ray is not installed or not at the address, and what ``work`` raises
    for bad input.
    """
    threads = max(1, torch.get_num_threads() // placement.jobs)
    cpus = max(threads, placement.devices) * placement.jobs
    window = WINDOW if isinstance(cells, Sequence) else placement.jobs
    with (
        connected(placement.address, cpus) as ray,
        shared_home(placement.results) as home,
        sigterm_held() as let_sigterm_through,
    ):
        # Started again where its node is lost: what is missing then was for the observer alone.
        news = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_News).remote()
        task = ray.remote(max_retries=RETRIES, max_calls=0)(_run)
        # Once for all tasks, of which each would carry a copy.
        shared = ray.put((work, home, threads, news))
        waiting = iter(cells)
        running: dict[Any, PlannedRun] = {}
        shown = _Shown(observer)
        try:
            while True:
                while len(running) < window and (cell := next(waiting, None)) is not None:
                    asked = resources(cell.spec, placement.device, threads, placement.devices)
                    options = asked if placement.address else asked | {"memory": None}
                    running[task.options(**options).remote(cell, shared)] = cell
                if not running:
                    return
                let_sigterm_through()
                done, _ = ray.wait(list(running), num_returns=len(running), timeout=0.2)
                shown.hear(ray.get(news.take.remote()))
                for ref in done:
                    cell = running.pop(ref)
                    shown.end(cell)
                    yield _ended(ray, ref, cell.spec, placement.results)
        finally:
            # As interrupted first, since a run may write the state that it has; by force only what
            # goes on: Ray aborts this process where a task is cancelled while it ends.
            for ref in running:
                ray.cancel(ref)
            left = list(running)
            if left:
                _, left = ray.wait(left, num_returns=len(left), timeout=GRACE)
            for ref in left:
                ray.cancel(ref, force=True)


class _News:
    """The actor to which tasks tell how they go on; it keeps the order in which each tells."""

    def __init__(self) -> None:
        self.untold: list[tuple[Any, ...]] = []

    def tell(self, *message: Any) -> None:
        self.untold.append(message)

    def take(self) -> list[tuple[Any, ...]]:
        taken, self.untold = self.untold, []
        return taken


class _Shown:
    """The runs that the observer knows of: those that have told that they started."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.specs: dict[str, RunSpec] = {}

    def hear(self, news: Iterable[tuple[Any, ...]]) -> None:
        """Tell the observer what tasks have told; of a run started again, that it was."""
        for event, told, *details in news:
            if event != "on_start":
                if told in self.specs:
                    getattr(self.observer, event)(self.specs[told], *details)
            elif told.run_id in self.specs:
                self.observer.on_note(told.spec, "its worker was lost: started again")
            else:
                self._start(told)

    def end(self, cell: PlannedRun) -> None:
        """Forget a run that is over, be it before its news came."""
        if cell.run_id not in self.specs:
            self._start(cell)
        del self.specs[cell.run_id]

    def _start(self, cell: PlannedRun) -> None:
        self.specs[cell.run_id] = cell.spec
        self.observer.on_start(cell.spec)


def _run(cell: PlannedRun, shared: tuple[Work, Home, int, Any]) -> Outcome:
    """The task: one run, on a worker of Ray."""
    work, home, threads, news = shared
    torch.set_num_threads(threads)
    with suppress(OSError):  # of a node that does not see it
        os.chdir(home.working)

    # Else no interrupt comes up where a script's shell started the node, as in the background it
    # has SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def send(message: tuple[Any, ...]) -> None:
        event, _, *details = message
        news.tell.remote(event, cell.run_id, *details)

    news.tell.remote("on_start", cell)
    folder = home.folder
    try:
        record = work(cell, observer=Messenger(send), results=folder)
    except UserError as error:
        return Outcome(error)
    except PermissionError as error:
        return Outcome(UserError(f"{error.filename} may not be read or written"))
    return Outcome(record, files=() if home.shared else tuple(_files(folder, cell.spec)))


def _files(folder: Path, spec: RunSpec) -> Iterator[tuple[str, bytes]]:
    """A run's record with the files beside it, and its artifacts, by their paths in ``folder``."""
    record = paths.record_path(folder, spec)
    beside = record.parent.glob(f"{record.stem}*")
    artifacts = paths.artifacts_dir(folder, spec.run_id).rglob("*")
    for path in sorted([*beside, *artifacts]):
        # States are of no use once a run has ended, and large.
        if path.is_file() and path.name != paths.LOCK and not path.name.startswith("state-"):
            with open_regular(path) as stream:
                yield path.relative_to(folder).as_posix(), stream.read()


def _ended(ray: Any, ref: Any, spec: RunSpec, results: Path) -> Ending:
    try:
        outcome: Outcome = ray.get(ref)
    except ray.exceptions.RayTaskError:
        raise  # as itself: a bug is a bug on any machine
    except ray.exceptions.RayError as error:
        lost = f"its worker was lost, and so were {RETRIES} tries"
        return Ending(spec, error=f"{lost}: {reason(error)}")
    for name, content in outcome.files:
        with atomic_write(results / name) as stream:
            stream.write(content)
    return ending(spec, outcome.result)


@contextmanager
def shared_home(results: Path) -> Iterator[Home]:
    """Mark the results folder while a grid runs, so that a node can tell whether it sees it."""
    home = Home(results.absolute(), f".grid-{uuid.uuid4().hex[:12]}", Path.cwd())
    with atomic_write(home.results / home.token):
        pass
    try:
        yield home
    finally:
        with suppress(OSError):
            (home.results / home.token).unlink()
