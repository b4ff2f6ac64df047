"""The runs of a grid: one after another in this process, or several at a time in their own."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from regmix_bench.distributed.group import GRACE, LostProcess, silence_tracker
from regmix_bench.errors import UserError, death
from regmix_bench.grid.launchers import Placement, Work
from regmix_bench.grid.plan import PlannedRun
from regmix_bench.records.locks import Busy
from regmix_bench.records.schema import RunRecord
from regmix_bench.runs.observers import Ending, Messenger, Observer, tell
from regmix_bench.specs import RunSpec
from regmix_bench.system.children import shelter_children
from regmix_bench.system.signals import Termination, handle_signals


def ending(spec: RunSpec, outcome: RunRecord | Exception) -> Ending:
    """Return how a run has ended, from what ``work`` has returned or raised.

    Raises the exception where it is not of this run alone.
    """
    if isinstance(outcome, Busy):
        return Ending(spec, left=str(outcome))
    if isinstance(outcome, LostProcess):
        return Ending(spec, error=str(outcome))
    if isinstance(outcome, Exception):
        raise outcome
    return Ending(spec, outcome, outcome.error)


def parse_jobs(jobs: int | str) -> int | None:
    """Return a number of jobs, or None for ``auto``; raises :class:`UserError` for any other."""
    if jobs == "auto":
        return None
    try:
        number = int(jobs)
    except ValueError:
        number = 0
    if number < 1:
        raise UserError(f"jobs {jobs!r} is not a number above zero: write it like 2, or auto")
    return number


def auto_jobs(device: torch.device, devices: int = 1) -> int:
    """Return a number of jobs that fills this machine: its CPU threads by the devices of a run.

    On CUDA it is 1: two ResNet-18s trained side by side on one device took little less than one
    after the other, and memory may not hold two.
    """
    return max(1, torch.get_num_threads() // devices) if device.type == "cpu" else 1


def launch(
    cells: Iterable[PlannedRun], work: Work, placement: Placement, observer: Observer
) -> Generator[Ending, None, None]:
    """Run ``cells`` on this machine, up to ``jobs`` at a time, and yield each as it ends.

    Beyond one job, ``work``, which must be picklable, runs in worker processes that share the
    threads of this one evenly and end with it, however it ends. A worker that dies costs the run it
    had, which stays resumable, and is replaced. Closing the generator, or an interrupt, stops the
    workers. Raises what ``work`` raises for bad input. To be called in the main thread.
    """
    jobs = min(placement.jobs, len(cells)) if isinstance(cells, Sequence) else placement.jobs
    if jobs > 1:
        yield from _launch_workers(iter(cells), work, jobs, observer)
        return
    for cell in cells:
        observer.on_start(cell.spec)
        outcome: RunRecord | Exception
        try:
            outcome = work(cell, observer=observer)
        except (Busy, LostProcess) as error:
            outcome = error
        yield ending(cell.spec, outcome)


def _launch_workers(
    waiting: Iterator[PlannedRun], work: Work, jobs: int, observer: Observer
) -> Generator[Ending, None, None]:
    silence_tracker()
    shelter_children()
    threads = max(1, torch.get_num_threads() // jobs)
    workers: dict[Connection, _Worker] = {}
    try:
        while True:
            while len(workers) < jobs and (cell := next(waiting, None)) is not None:
                with _interrupts_ignored():
                    worker = _Worker(work, threads)
                    workers[worker.connection] = worker
                worker.begin(cell, observer)
            if not workers:
                return
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                worker = workers[connection]
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    del workers[connection]
                    yield Ending(worker.cell.spec, error=worker.end())
                    continue
                if isinstance(message, tuple):
                    tell(observer, message)
                    continue
                yield ending(worker.cell.spec, message)
                if (cell := next(waiting, None)) is not None:
                    worker.begin(cell, observer)
                else:
                    del workers[connection]
                    worker.kill()
    finally:
        _stop(list(workers.values()))


def _stop(workers: Sequence[_Worker]) -> None:
    """End the workers, which may write the state that they have; an interrupt ends them at once."""
    try:
        for worker in workers:
            worker.process.terminate()
        deadline = time.monotonic() + GRACE
        for worker in workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
    finally:
        with _interrupts_ignored():
            for worker in workers:
                worker.kill()


class _Worker:
    """A process that runs one cell after another; ``cell`` is the one it has."""

    cell: PlannedRun

    def __init__(self, work: Work, threads: int) -> None:
        # A fork would inherit torch's threads as locks that nobody releases, and CUDA not at all.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, threads))
        self.process.start()
        theirs.close()  # so that the worker's death ends the connection

    def begin(self, cell: PlannedRun, observer: Observer) -> None:
        self.cell = cell
        observer.on_start(cell.spec)
        with contextlib.suppress(OSError):  # of a worker that has died: the next recv() says so
            self.connection.send(cell)

    def end(self) -> str:
        """Wait for the dying process; returns what it died of."""
        self.process.join()
        self.connection.close()
        return f"its process {death(self.process.exitcode or 0)}"

    def kill(self) -> None:
        """Whatever it has finished is on disk, and what it has not resumes."""
        self.process.kill()
        self.end()


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal: those started in here leave it to the parent."""
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def _serve(connection: Connection, work: Work, threads: int) -> None:
    """What a worker does until it is killed, or told to end."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    handle_signals()
    with contextlib.suppress(Termination):
        _work_for(connection, work)
    os._exit(128 + signal.SIGTERM)


def _work_for(connection: Connection, work: Work) -> None:

    def send(message: RunRecord | Exception | tuple[Any, ...]) -> None:
        with _lost_without_parent():
            connection.send(message)

    while True:
        with _lost_without_parent():
            cell: PlannedRun = connection.recv()
        reply: RunRecord | Exception
        try:
            reply = work(cell, observer=Messenger(send))
        except (UserError, PermissionError) as error:
            reply = error
        send(reply)


@contextlib.contextmanager
def _lost_without_parent() -> Iterator[None]:
    """A broken connection ends the process: raised, it would be recorded as the run's failure."""
    try:
        yield
    except (EOFError, OSError):
        os._exit(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
