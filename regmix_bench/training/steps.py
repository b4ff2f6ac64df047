"""The steps of a training: done one after the other, or recorded once and replayed.

A step asks the device for a thousand kernels, which takes the host longer than the device needs to
run them. So the steps of one kind, which are those on batches of one shape in one branch of the
method, are recorded after a few, and from then on the host asks for all of a step at once. Those
that are not replayed are done in the ordinary way and count like any other.

A recording keeps whatever Python decided. So ordinary steps are watched before it is made, and the
first of every epoch, and compared: what a recording would get wrong is found there.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from regmix_bench.distributed.collectives import size
from regmix_bench.models.predictions import PassCounter
from regmix_bench.replay.protocol import REHEARSALS, CannotRecord, Recorder, Recording
from regmix_bench.replay.recorders import recorder_for
from regmix_bench.replay.undo import Undo
from regmix_bench.replay.watch import Watch
from regmix_bench.system.machine import Execution
from regmix_bench.training.update import Update
from regmix_bench.types import Batch

#: A replayed step and an ordinary one from the same weights run the same kernels: where they end
#: may differ by this share of the way, beyond what two ordinary ones differ by, and differs by far
#: more where memory was corrupted.
DIFFERENCE = 0.1

Values = dict[str, Tensor]


class Steps:
    """Does ``update`` on every batch that it is called on, and returns its values, detached.

    What is drawn comes from ``generator``. ``forward_images`` and ``backward_images`` count the
    images that passed through the network each way since :meth:`start_epoch`.
    """

    def __init__(self, update: Update, device: torch.device) -> None:
        self.update, self.device = update, device
        self.generator = torch.Generator(device)
        self.forward_images = self.backward_images = 0

    def start_epoch(self, epoch: int, seed: int) -> None:
        """Begin ``epoch``, for which the method is prepared, with random numbers from ``seed``."""
        self.update.start_epoch(epoch)
        self.generator.manual_seed(seed)
        self.forward_images = self.backward_images = 0

    def __call__(self, batch: Batch) -> Values:
        """Move the weights; the values may be overwritten by the next step."""
        values, passes = self._counted(batch)
        self._count(passes)
        return values

    @property
    def capture_seconds(self) -> float:
        """The time that recordings took so far."""
        return 0.0

    def described(self) -> dict[str, Any]:
        """Say for a record how steps were done."""
        return {}

    def _counted(self, batch: Batch) -> tuple[Values, tuple[int, int]]:
        with PassCounter(self.update.trained) as passes:
            values = self.update(batch, self.generator)
        return values, (passes.forward_images, passes.backward_images)

    def _count(self, passes: tuple[int, int]) -> None:
        self.forward_images += passes[0]
        self.backward_images += passes[1]


class ReplayedSteps(Steps):
    """Steps that ``recorder`` records and that are replayed, as far as that gives the same.

    Where it does not, all are done in the ordinary way, and ``say`` gets one line that says why.
    """

    def __init__(
        self,
        update: Update,
        device: torch.device,
        recorder: Recorder,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(update, device)
        self.recorder, self.say = recorder, say
        self.recordings = 0
        #: Why steps are not replayed any more.
        self.obstacle: str | None = None
        self._kinds: dict[Hashable, _Kind] = {}
        self._epoch = 0
        self._renewed = False
        # torch's SGD on a CPU takes a rate to the host, unless it could be differentiated.
        update.rate = torch.zeros((), device=device, requires_grad=device.type == "cpu")

    def start_epoch(self, epoch: int, seed: int) -> None:
        super().start_epoch(epoch, seed)
        self._epoch = epoch

    def __call__(self, batch: Batch) -> Values:
        (group,) = self.update.optimizer.param_groups
        assert self.update.rate is not None
        with torch.no_grad():
            self.update.rate.fill_(group["lr"])
        if self.obstacle is not None:
            return super().__call__(batch)
        kind = self._kind_of(batch)
        first, kind.epoch = kind.epoch != self._epoch, self._epoch
        if kind.rehearsed and kind.recording is None and not first:
            self._record(kind)
            if self.obstacle is not None:
                return super().__call__(batch)
        if kind.recording is None or first:
            return self._watched(kind, first)
        kind.recording.replay()
        self._count(kind.passes)
        return kind.recording.result

    @property
    def capture_seconds(self) -> float:
        return self.recorder.seconds

    def described(self) -> dict[str, Any]:
        made: dict[str, Any] = {"recordings": self.recordings}
        return made if self.obstacle is None else {**made, "not_replayed": self.obstacle}

    def _kind_of(self, batch: Batch) -> _Kind:
        """Return the kind of step for ``batch``, with its images filled in."""
        x, y, index = batch.x, batch.y, batch.index
        partly = batch.partly_labelled
        key = x.shape, x.dtype, y.shape, y.dtype, batch.total, partly, self.update.branch
        kind = self._kinds.get(key)
        if kind is None:
            held = Batch(x.clone(), y.clone(), index.clone(), batch.total, partly)
            # The compiler's code is in a recording, and cannot be watched.
            unwatched = REHEARSALS if self.update.trained.execution.compile else REHEARSALS - 2
            kind = self._kinds[key] = _Kind(held, unwatched)
        else:
            kind.batch.x.copy_(x)
            kind.batch.y.copy_(y)
            kind.batch.index.copy_(index)
        return kind

    def _watched(self, kind: _Kind, first: bool) -> Values:
        """Do a step in the ordinary way, and see whether a recording would have done the same.

        ``first`` tells that it is the first of its epoch, which what changes with the epoch may
        change.
        """
        work, watch = partial(self._counted, kind.batch), Watch(self.device)
        if kind.unwatched > 0:
            kind.unwatched -= 1
            values, kind.passes = self.recorder.rehearse(work)
            self._count(kind.passes)
            return values
        with self.update.trained.uncompiled(), watch:
            values, kind.passes = self.recorder.rehearse(work)
        self._count(kind.passes)
        before, kind.watch = kind.watch, watch
        difference = before.difference(watch) if before is not None else None
        kind.rehearsed = before is not None and difference is None
        if watch.obstacle is not None:
            self._give_up(watch.obstacle)
        elif difference is not None and not first:
            self._give_up(difference)
        elif difference is not None and kind.recording is not None:
            kind.recording = None
            if not self._renewed:
                self.say(f"the step changed with the epoch and is recorded anew: {difference}")
            self._renewed = True
        return values

    def _record(self, kind: _Kind) -> None:
        """Record the step on the batch of ``kind``, or give up; either way it is yet to be done."""
        work = partial(self.update, kind.batch, self.generator)
        self.update.optimizer.zero_grad(set_to_none=True)
        why = None
        try:
            recording = self.recorder.record(work, [self.generator])
            if not self.update.trained.execution.compile:
                self._check(recording, work)
            kind.recording = recording
            self.recordings += 1
        except CannotRecord as error:
            why = str(error)
        except torch.OutOfMemoryError:
            why = "memory ran out beside a recording; a smaller recipe.batch_size leaves room"
        self.update.optimizer.zero_grad(set_to_none=True)
        # Here, because the traceback of a handled error keeps its tensors alive.
        if why is not None:
            self._give_up(why)

    def _check(self, recording: Recording[Values], work: Callable[[], Values]) -> None:
        """Do the step in both ways from the same state, compare the weights, and undo all.

        An ordinary step is done twice, as two of them may differ too: sums of gradients are in no
        order on a GPU, and the sign of a sum near zero moves a pixel. Raises :class:`CannotRecord`
        where a replay differs by more; recordings were seen to corrupt gradients without a word
        (pytorch/pytorch#181723). Raises ``torch.OutOfMemoryError`` where an ordinary step does not
        fit beside the recording, as the first of every epoch has to.
        """
        undo, ends = Undo([self.generator]), []
        try:
            before = self._weights()
            with undo:
                self.recorder.rehearse(work)
            expected = self._weights()
            for way in (recording.replay, partial(self.recorder.rehearse, work)):
                undo.rewind()
                way()
                ends.append(self._weights() - expected)
        finally:
            undo.rewind()
        moved = (expected - before).norm()
        off, apart = (end.norm() for end in ends)
        rounding = torch.finfo(before.dtype).eps * before.norm()
        if bool(moved.isfinite() & ~(off <= DIFFERENCE * moved + 2 * apart + rounding)):
            raise CannotRecord("a recorded step ends at other weights than an ordinary one")

    def _weights(self) -> Tensor:
        with torch.no_grad():
            return torch.cat([p.flatten() for p in self.update.model.parameters()]).double()

    def _give_up(self, why: str) -> None:
        self.obstacle = why
        self._kinds.clear()
        self.say(f"steps are not replayed: {why}")


def make_steps(
    update: Update, device: torch.device, execution: Execution, say: Callable[[str], None]
) -> Steps:
    """Return the steps of a training, as ``execution`` says; ``say`` gets a line if they differ."""
    if not execution.graphs:
        return Steps(update, device)
    if size() > 1:
        say("steps are not replayed: exchanges between devices were never tried in a recording")
        return Steps(update, device)
    return ReplayedSteps(update, device, recorder_for(device), say)


@dataclass
class _Kind:
    """The steps that one recording serves, with the batch that it reads."""

    batch: Batch
    #: Ordinary steps to do before others are watched.
    unwatched: int
    #: The last epoch with such a step.
    epoch: int = 0
    #: The latest step that was watched; ``rehearsed`` where it did what the one before did.
    watch: Watch | None = None
    rehearsed: bool = False
    #: The images that pass through the network each way.
    passes: tuple[int, int] = (0, 0)
    recording: Recording[Values] | None = None
