"""A group of processes that share one run, one for each device: its start, its messages, its end.

The group is torch's own (``torch.distributed.launcher``, which is torchrun): NCCL on CUDA and Gloo
on a CPU.
"""

from __future__ import annotations

import logging
import os
import pickle
import shutil
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch

from regmix_bench.errors import UserError, death, reason
from regmix_bench.system.children import shelter_children

T = TypeVar("T")

#: What one process may lag behind another: a batch of AutoAttack, or all that the first does alone.
PATIENCE = timedelta(days=1)
#: Seconds in which the death of a process is noticed, when others complain that it is gone.
NOTICED = 5.0
#: Seconds in which a process that is told to end may finish what :func:`finished_first` names.
GRACE = 20.0
_GO = b"."
_unfinished: list[Callable[[], object]] = []


class LostProcess(UserError):
    """A process of a group has died, of no error of its own; what it had finished is on disk."""


@dataclass(frozen=True)
class _Failure:
    """The error of a process, sent before it waits for its end."""

    error: Exception
    trace: str


class _Elsewhere(Exception):
    """The traceback of another process, as the cause of an error that is raised in this one."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def silence_tracker() -> None:
    """Silence Python's resource tracker, which warns of the semaphores of a killed process.

    To be called before the first process is started, and the tracker with it.
    """
    rules = os.environ.get("PYTHONWARNINGS", "").split(",")
    if _HUSH not in rules:
        os.environ["PYTHONWARNINGS"] = ",".join([*filter(None, rules), _HUSH])


_HUSH = "ignore::UserWarning:multiprocessing.resource_tracker"


def run_group(
    work: Callable[[torch.device, Callable[[Any], None]], T],
    devices: int,
    kind: str,
    hear: Callable[[Any], None],
) -> T:
    """Call ``work`` in a group of processes and return the first one's result.

    ``work`` must be picklable. Each process gets its device of the ``kind`` "cuda" or "cpu", an
    equal share of this process's threads, and a function ``send``: ``hear`` is called here with
    whatever the first one sends. The group ends with this process, however that ends, and leaves
    interrupts to it.

    Raises the :class:`UserError` or :class:`PermissionError` of a process; any other error becomes
    the former. Raises :class:`LostProcess` where a process died.
    """
    silence_tracker()
    shelter_children()
    context = get_context("spawn")
    news: SimpleQueue[bytes] = context.SimpleQueue()
    theirs, leash = context.Pipe(duplex=False)
    threads = max(1, torch.get_num_threads() // devices)
    failed: _Failure | None = None
    returned: list[T] = []
    with TemporaryDirectory(prefix="regmix-bench-") as folder:
        arguments = (work, news, theirs, threads, kind, folder)
        agent = _Agent(devices, Path(folder), arguments)
        agent.start()
        try:
            while agent.is_alive() or not news.empty():
                if news.empty():
                    agent.join(0.05)
                    continue
                word, content = pickle.loads(news.get())
                if word == "heard":
                    hear(content)
                elif word == "returned":
                    returned.append(content)
                else:
                    # The first: whoever complains later has lost the one that failed, or waits.
                    failed = content
                    agent.join(NOTICED)
                    break
            died = not agent.is_alive()
        finally:
            # A byte each, which no two of them can take apart, as they could a longer message.
            os.write(leash.fileno(), _GO * devices)
            leash.close()
            agent.join()
    if failed is not None and not died:
        raise failed.error from _Elsewhere(failed.trace)
    if returned:
        return returned[0]
    raise agent.lost()


class _Agent(threading.Thread):
    """Thread that starts the group by torchrun's API and waits for its end.

    Not the main thread, whose signal handlers torch would take away.
    """

    def __init__(self, devices: int, folder: Path, arguments: tuple[Any, ...]) -> None:
        super().__init__(name="group")
        self.devices, self.folder, self.arguments = devices, folder, arguments
        self.error: BaseException | None = None

    def run(self) -> None:
        from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
        from torch.distributed.launcher.api import LaunchConfig, elastic_launch

        # Inherited by the group: Ctrl-C reaches every process of a terminal, and is this one's.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        # No port that is open to all: the group meets in the folder too.
        os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=self.devices,
            max_restarts=0,  # a run goes on from its own state, by the same command
            run_id=uuid.uuid4().hex,
            # Met in a private folder, since rendezvous over TCP would read pickles of any caller.
            rdzv_backend="c10d",
            rdzv_endpoint=str(self.folder / "rendezvous"),
            rdzv_configs={"store_type": "file"},
            local_addr="localhost",
            logs_specs=DefaultLogsSpecs(log_dir=str(self.folder)),
        )
        try:
            with _silence():
                elastic_launch(config, _enter)(*self.arguments)
        except Exception as error:
            self.error = error

    def lost(self) -> Exception:
        """Return the reason why the group ended without a result."""
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

        if isinstance(self.error, ChildFailedError):
            number, failure = self.error.get_first_failure()
            ended = f"process {number + 1} of {self.devices} {death(failure.exitcode)}"
            return LostProcess(f"{ended}: the same command goes on from what is finished")
        assert isinstance(self.error, Exception)
        return self.error


def _enter(
    work: Callable[[torch.device, Callable[[Any], None]], Any],
    news: SimpleQueue[bytes],
    leash: Connection,
    threads: int,
    kind: str,
    folder: str,
) -> None:
    """Join the group as one of its processes, and do the work."""
    number, group = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    threading.Thread(target=_end_with_parent, args=(leash, folder, number), daemon=True).start()
    torch.set_num_threads(threads)
    device = torch.device(kind, number) if kind == "cuda" else torch.device(kind)

    def tell(word: str, content: Any) -> None:
        # By value: torch would let this process keep the tensors, which may be gone by then.
        news.put(pickle.dumps((word, content)))

    def send(content: Any) -> None:
        if number == 0:
            tell("heard", content)

    try:
        if kind == "cuda":
            torch.cuda.set_device(device)
        # Gloo would listen where the host's name leads, and NCCL on every interface but this.
        loopback = "lo0" if sys.platform == "darwin" else "lo"
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", loopback)
        if kind == "cpu":  # where compilers that write the same file at once read half of it
            compiled = os.path.join(folder, f"compiled-{number}")
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", compiled)
        torch.distributed.init_process_group(
            "nccl" if kind == "cuda" else "gloo",
            init_method=Path(folder, "group").as_uri(),
            rank=number,
            world_size=group,
            timeout=PATIENCE,
            device_id=device if kind == "cuda" else None,
        )
        result = work(device, send)
        if number == 0:
            tell("returned", result)
        torch.distributed.destroy_process_group()
    except (Exception, SystemExit) as error:
        told = (
            error if isinstance(error, (UserError, PermissionError)) else UserError(reason(error))
        )
        tell("failed", _Failure(told, traceback.format_exc()))
        # Were it to end, the others would fail as well, and the first to die would be blamed.
        threading.Event().wait()


@contextmanager
def finished_first(finish: Callable[[], object]) -> Iterator[None]:
    """Call ``finish`` where a group is told to end while the block goes on in its first process.

    That is in another thread than the block's.
    """
    _unfinished.append(finish)
    try:
        yield
    finally:
        _unfinished.remove(finish)


def _end_with_parent(leash: Connection, folder: str, number: int) -> None:
    """End this process as soon as the holder of ``leash`` says so, or is dead.

    Of a dead one nobody else would remove the ``folder``, and another process may work on the run.
    """
    try:
        if not os.read(leash.fileno(), len(_GO)):
            shutil.rmtree(folder, ignore_errors=True)
            return
        if number > 0:
            time.sleep(2 * GRACE)  # until torch ends it: at the end of one it ends all
        for finish in list(_unfinished):
            finishing = threading.Thread(target=_quietly, args=(finish,), daemon=True)
            finishing.start()
            finishing.join(GRACE)
    finally:
        os._exit(1)


def _quietly(finish: Callable[[], object]) -> None:
    with suppress(Exception):  # nobody is there any more to hear of it
        finish()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep off the screen what torch logs of a group's end, which is said in one line."""
    loggers = [logging.getLogger(f"torch.{name}") for name in _TALKATIVE]
    propagate = [logger.propagate for logger in loggers]
    nowhere = logging.NullHandler()
    for logger in loggers:
        logger.addHandler(nowhere)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, before in zip(loggers, propagate, strict=True):
            logger.removeHandler(nowhere)
            logger.propagate = before


_TALKATIVE = ("distributed.elastic", "multiprocessing.spawn")
