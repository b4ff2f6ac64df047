"""The instants at which states of a training are copied, and written while it goes on.

Between two epochs a state is copied into main memory, and a thread hashes and writes it. Both are
done as often as they are worth it: but for the last, copying takes at most 2 % of the time, and
writing 3 %. Whatever ends a training but SIGKILL, the newest copy is written then.
``docs/architecture.md`` says what each kind of end can cost.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from regmix_bench.distributed.collectives import rank
from regmix_bench.models.weights import Description, write_weights
from regmix_bench.records.schema import CheckpointFile
from regmix_bench.training.snapshots import HostMemory, KeptWeights, Snapshot
from regmix_bench.training.states import States
from regmix_bench.types import TrainedCheckpoint

#: The shares of the time that copying and writing may take.
COPYING, WRITING = 0.02, 0.03


class Allowance:
    """A share of the time that may be spent on something that can wait.

    What costs c seconds is done again 1/``share`` times c later at the earliest, so that whenever
    it is done, all of it before has taken at most that share of the time.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._due = float("-inf")

    def due(self, now: float) -> bool:
        """Return whether it may be done at ``now``, in seconds of a clock."""
        return now >= self._due

    def pay(self, now: float, cost: float) -> None:
        """Note at ``now``, when it is done, that it cost ``cost`` seconds."""
        self._due = max(self._due, now) + cost / self.share


class StateKeeper:
    """Keeps the states of one training, whose weights ``about`` describes, in ``states``.

    ``checkpoints`` are weights that lie there already, and ``epoch`` that of the newest state. In a
    group only that of the first process copies and writes.
    """

    def __init__(
        self,
        states: States,
        about: Description,
        epoch: int,
        checkpoints: Mapping[TrainedCheckpoint, CheckpointFile],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.states, self.about, self.clock = states, about, clock
        self.copying, self.writing = Allowance(COPYING), Allowance(WRITING)
        self._memory = HostMemory()
        self._weights = {
            name: KeptWeights(file.epoch, {}, file) for name, file in checkpoints.items()
        }
        self._snapshot: Snapshot | None = None
        self._written = epoch
        self.error: Exception | None = None
        self._lock = threading.Lock()  # held while the newest copy is read, or overwritten

    @property
    def epoch(self) -> int:
        """The epoch of the newest state that is on disk, or copied to be."""
        return self._snapshot.epoch if self._snapshot else self._written

    def due(self) -> bool:
        """Return whether a state may be copied now: it is worth it, and none is being written.

        Raises what the writing of an earlier one has raised.
        """
        if self.error is not None:
            raise self.error
        return not self._lock.locked() and self.copying.due(self.clock())

    def keep_weights(self, checkpoint: TrainedCheckpoint, epoch: int, model: nn.Module) -> None:
        """Copy the weights of ``checkpoint``, to which all later states refer, and no earlier."""
        if rank() > 0:
            return
        begun = self.clock()
        self._weights[checkpoint] = KeptWeights.of(model, epoch)
        now = self.clock()
        self.copying.pay(now, now - begun)

    def keep(self, epoch: int, content: Callable[[], Mapping[str, Any]]) -> None:
        """Copy the state after ``epoch``, and begin to write it if that is worth it.

        To be called by all processes of a group, since ``content`` is.
        """
        begun = self.clock()
        live = content()
        if rank() > 0:
            return
        with self._lock:
            self._snapshot = None
            copied = self._memory.copy(live)
            self._snapshot = Snapshot(epoch, copied, dict(self._weights))
        now = self.clock()
        self.copying.pay(now, now - begun)
        if self.writing.due(now):
            # No daemon: Python would end while torch is at work in it, which crashes.
            threading.Thread(target=self._write_beside, name="states").start()

    def flush(self) -> dict[TrainedCheckpoint, CheckpointFile]:
        """Write the newest copy and the newest weights, unless they are on disk; returns the files.

        Raises :class:`CannotWrite` or :class:`PermissionError` where the folder refuses.
        """
        with self._lock, self._noted():
            self._write_newest()
            return {name: self._file(name, weights) for name, weights in self._weights.items()}

    def _write_beside(self) -> None:
        with self._lock:
            begun = time.thread_time()
            with contextlib.suppress(Exception), self._noted():  # to be raised where it is heard
                self._write_newest()
            # What it takes of a processor is the most that it takes from the training.
            self.writing.pay(self.clock(), time.thread_time() - begun)

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.error = error
            raise

    def _write_newest(self) -> None:
        snapshot = self._snapshot
        if snapshot is None or snapshot.epoch == self._written:
            return
        checkpoints = {name: self._file(name, kept) for name, kept in snapshot.weights.items()}
        self.states.save(snapshot.epoch, snapshot.content, checkpoints)
        self._written = snapshot.epoch

    def _file(self, checkpoint: TrainedCheckpoint, weights: KeptWeights) -> CheckpointFile:
        """Write weights that are not on disk yet; returns where they are."""
        if weights.file is None:
            # The epoch in the name lets older files stand until no state refers to them.
            name = f"{checkpoint}-{weights.epoch:04d}.safetensors"
            sha256 = write_weights(self.states.directory / name, weights.tensors, self.about)
            weights.file = CheckpointFile(epoch=weights.epoch, file=name, sha256=sha256)
            weights.tensors.clear()
        return weights.file
