"""The runs of a grid as tasks of Ray (Moritz et al. 2018), on this machine or on a cluster.

Placing, retrying and counting are Ray's. A run whose worker or node is lost is started again, and
goes on from its own newest state.
"""

from __future__ import annotations

import os
import socket
import tempfile
import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import torch

from regmix_bench import store
from regmix_bench.errors import UserError, reason
from regmix_bench.files import atomic_write
from regmix_bench.launcher import Ended, Work
from regmix_bench.observers import Messenger
from regmix_bench.plan import Planned
from regmix_bench.records import RunRecord
from regmix_bench.types import RunSpec

if TYPE_CHECKING:
    from regmix_bench.progress import Display

#: How often Ray starts a run again whose worker or node was lost.
RETRIES = 10
#: Tasks submitted ahead of those that end, so that the driver's memory does not grow with the grid.
WINDOW = 200
#: What a cluster has to answer.
SECONDS = 10
#: Networks of which four fit a GPU at once.
SMALL = frozenset({"smallcnn", "resnet8"})
GIB = 2**30


@dataclass(frozen=True)
class Home:
    """Where a task finds the results: the driver's folder if it sees it, else one of its node.

    ``token`` is the name of a file that lies in the driver's folder while the grid runs.
    """

    results: Path
    token: str

    @property
    def shared(self) -> bool:
        """Whether this process sees the driver's folder."""
        return (self.results / self.token).is_file()

    @property
    def folder(self) -> Path:
        """A node's own folder is the same for each try, so that these too go on."""
        return self.results if self.shared else Path(tempfile.gettempdir()) / self.token


@dataclass(frozen=True)
class Outcome:
    """What a task returns: a record or why there is none, and files that the driver lacks."""

    result: RunRecord | UserError
    files: tuple[tuple[str, bytes], ...] = ()


def resources(
    spec: RunSpec, device: torch.device, threads: int, devices: int = 1
) -> dict[str, float]:
    """What one run asks of Ray: CPUs, GPUs, bytes of memory.

    On one GPU a small network asks for a quarter of it. On several ``devices`` each is a process,
    with a GPU of its own, its memory, and a CPU at least.
    """
    shared = 0.25 if spec.arch in SMALL and devices == 1 else 1.0
    memory = (1 if spec.arch in SMALL else 4) * GIB
    return {
        "num_cpus": max(threads, devices),
        "num_gpus": 0.0 if device.type == "cpu" else shared * devices,
        "memory": memory * devices,
    }


def launch(
    cells: Sequence[Planned],
    work: Work,
    results: Path,
    device: torch.device,
    jobs: int,
    devices: int,
    address: str | None,
    display: Display,
) -> Generator[Ended, None, None]:
    """Run ``cells`` as tasks of Ray and yield each as it ends; ``display`` follows all.

    Without an ``address`` a cluster of this machine is started, and ended with the generator; it
    runs ``jobs`` at a time. Each run takes a ``jobs``-th of this machine's threads, wherever it
    runs, so that its numbers are those of the local launcher, and ``devices`` GPUs. Raises
    :class:`UserError` where Ray is not installed or not at the address, and what ``work`` raises
    for bad input.
    """
    threads = max(1, torch.get_num_threads() // jobs)
    with _connected(address, max(threads, devices) * jobs) as ray, _home(results) as home:
        from ray.util.queue import Queue

        news = Queue(actor_options={"num_cpus": 0})
        task = ray.remote(max_retries=RETRIES, max_calls=0)(_run)
        waiting = iter(cells)
        running: dict[Any, Planned] = {}
        started: set[str] = set()
        try:
            while True:
                while len(running) < WINDOW and (cell := next(waiting, None)) is not None:
                    asked = resources(cell.spec, device, threads, devices)
                    options = asked if address else asked | {"memory": None}
                    ref = task.options(**options).remote(cell, work, home, threads, news)
                    running[ref] = cell
                if not running:
                    return
                done, _ = ray.wait(list(running), num_returns=len(running), timeout=0.2)
                _show(news, display, started)
                for ref in done:
                    spec = running.pop(ref).spec
                    if spec.run_id not in started:  # it was over before its news came
                        display.on_start(spec)
                    started.discard(spec.run_id)
                    yield _ended(ray, ref, spec, results)
        finally:
            for ref in running:
                ray.cancel(ref, force=True)


def _run(cell: Planned, work: Work, home: Home, threads: int, news: Any) -> Outcome:
    """The task: one run, on a worker of Ray."""
    torch.set_num_threads(threads)

    def send(message: tuple[Any, ...]) -> None:
        news.actor.put_nowait.remote(message)  # not `put`: a task that waits gives its CPU away

    send(("on_start", cell.spec))
    folder = home.folder
    try:
        record = work(cell.spec, reference=cell.reference, observer=Messenger(send), results=folder)
    except UserError as error:
        return Outcome(error)
    except PermissionError as error:
        return Outcome(UserError(f"{error.filename} may not be read or written"))
    return Outcome(record, files=() if home.shared else tuple(_files(folder, cell.spec)))


def _files(folder: Path, spec: RunSpec) -> Iterator[tuple[str, bytes]]:
    """A run's record with the files beside it, and its artifacts, by their paths in ``folder``."""
    record = store.record_path(folder, spec)
    beside = record.parent.glob(f"{record.stem}*")
    artifacts = store.artifacts_dir(folder, spec.run_id).rglob("*")
    for path in sorted([*beside, *artifacts]):
        # States are of no use once a run has ended, and large.
        if path.is_file() and path.name != store.LOCK and not path.name.startswith("state-"):
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _ended(ray: Any, ref: Any, spec: RunSpec, results: Path) -> Ended:
    try:
        outcome: Outcome = ray.get(ref)
    except ray.exceptions.RayTaskError:
        raise  # as itself: a bug is a bug on any machine
    except ray.exceptions.RayError as error:
        lost = f"its worker was lost, and so were {RETRIES} tries"
        return Ended(spec, error=f"{lost}: {reason(error)}")
    for name, content in outcome.files:
        with atomic_write(results / name) as stream:
            stream.write(content)
    return Ended.of(spec, outcome.result)


def _show(news: Any, display: Display, started: set[str]) -> None:
    """Tell the display what the tasks have sent; of a run started again, that it was."""
    for event, spec, *details in news.get_nowait_batch(news.qsize()):
        if event == "on_start":
            if spec.run_id in started:
                display.on_note(spec, "its worker was lost: started again")
                continue
            started.add(spec.run_id)
        if spec.run_id in started:
            getattr(display, event)(spec, *details)


@contextmanager
def _home(results: Path) -> Iterator[Home]:
    home = Home(results.absolute(), f".grid-{uuid.uuid4().hex[:12]}")
    with atomic_write(home.results / home.token):
        pass
    try:
        yield home
    finally:
        with suppress(OSError):
            (home.results / home.token).unlink()


def _reach(address: str) -> None:
    """Raise :class:`OSError` where nobody answers, of which Ray itself is sure after minutes."""
    if address != "auto":
        there = urlsplit(address if "//" in address else f"//{address}")
        socket.create_connection((there.hostname, there.port or 0), SECONDS).close()


@contextmanager
def _connected(address: str | None, cpus: int) -> Iterator[Any]:
    """Ray, connected to ``address`` or to a cluster of ``cpus`` of its own."""
    # Before the import, which reads them: no reports to Ray's makers, and no advice in between.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError(
            "the launcher ray needs the package of this name: pip install 'regmix-bench[ray]'"
        ) from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is None:
            ray.init(num_cpus=cpus, include_dashboard=False, **quiet)
        else:
            _reach(address)
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise UserError(
            f"no cluster of Ray at {address or 'this machine'}: {reason(error)}"
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
