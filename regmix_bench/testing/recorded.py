"""Training by recorded steps, beside the same training by ordinary ones."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from regmix_bench.methods.protocol import Method
from regmix_bench.replay.protocol import REHEARSALS, CannotRecord, Recording
from regmix_bench.replay.tape import TapeRecorder
from regmix_bench.replay.watch import Watch
from regmix_bench.testing.contract import require
from regmix_bench.testing.samples import images, labels
from regmix_bench.types import Batch, StepOutput, ThreatModel

SHAPE = (1, 8, 8)
#: Sizes of the batches, which come in turn, each so often in an epoch: rehearsed, then replayed.
SIZES, VISITS = (16, 8), REHEARSALS + 3
COUNT = sum(SIZES) * VISITS
#: The second may be of another branch than the first, and the third goes on with what it recorded.
EPOCHS = (1, 2, 3)
CPU = torch.device("cpu")


def compare_recorded(
    make: Callable[[], Method], network: Callable[[], nn.Module], threat: ThreatModel
) -> str | None:
    """Require that recorded steps do what ordinary ones do, in every number.

    As in training, steps of one batch size and branch of the method are rehearsed, recorded and
    replayed, and the first of an epoch is done in the ordinary way and watched. Returns why the
    steps cannot be recorded where that is found, so that training does without.
    """
    ordinary, recorded = (_Training(make(), network(), threat) for _ in range(2))
    try:
        for epoch in EPOCHS:
            both = zip(ordinary.steps(epoch), recorded.recorded_steps(epoch), strict=True)
            for expected, found in both:
                _same(found, expected, f"in epoch {epoch} ")
    except CannotRecord as error:
        return str(error)
    _same(recorded.state(), ordinary.state(), "")
    return None


class _Kind(NamedTuple):
    """Steps that one recording may stand for."""

    size: int
    branch: Hashable


class _Training:
    """Plain gradient descent, on batches that are filled into the same memory."""

    def __init__(self, method: Method, model: nn.Module, threat: ThreatModel) -> None:
        self.method, self.model, self.threat = method, model, threat
        method.setup(COUNT, SHAPE, CPU)
        self.generator, self.recorder = torch.Generator(), TapeRecorder()
        self.batches = {size: _blank(size) for size in SIZES}
        self.watched: dict[_Kind, list[Watch]] = {}
        self.recordings: dict[_Kind, Recording[dict[str, Any]]] = {}

    def steps(self, epoch: int) -> Iterator[dict[str, Any]]:
        """Yield what each step of an epoch returns, done in the ordinary way."""
        return (self._step(batch) for batch in self._filled(epoch))

    def recorded_steps(self, epoch: int) -> Iterator[dict[str, Any]]:
        """Yield the same, of recorded steps; raises :class:`CannotRecord`."""
        begun = set()
        for batch in self._filled(epoch):
            kind = _Kind(len(batch.y), getattr(self.method, "branch", None))
            work = partial(self._step, batch)
            if kind not in begun or len(self.watched[kind]) < REHEARSALS:
                begun.add(kind)
                yield self._watched(kind, work)
            else:
                yield self._replayed(kind, work)

    def state(self) -> dict[str, Any]:
        """Return what is left of the training."""
        scored = self.method.evaluated_model(self.model)
        return {
            "the model": self.model.state_dict(),
            "the model to score": scored.state_dict(),
            "the state of the method": self.method.state_dict(),
        }

    def _filled(self, epoch: int) -> Iterator[Batch]:
        self.method.on_epoch_start(epoch)
        self.generator.manual_seed(epoch)
        x, y = images(COUNT, SHAPE), labels(COUNT, 10)
        order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(epoch))
        for index in order.split(SIZES * VISITS):
            batch = self.batches[len(index)]
            batch.x.copy_(x[index]), batch.y.copy_(y[index]), batch.index.copy_(index)
            yield batch

    def _step(self, batch: Batch) -> dict[str, Any]:
        self.model.zero_grad()
        output: StepOutput = self.method.step(self.model, batch, self.threat, self.generator)
        output.loss.backward()
        with torch.no_grad():
            for parameter in self.model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.1 * parameter.grad)
        self.method.after_update(self.model)
        return {
            "the loss": output.loss.detach(),
            "the images": output.x_adv,
            "the metrics": output.metrics,
        }

    def _watched(self, kind: _Kind, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        with Watch(CPU) as watch:
            result = self.recorder.rehearse(work)
        before = self.watched.setdefault(kind, [])
        # The first makes what a method keeps, such as averages.
        difference = before[-1].difference(watch) if len(before) > 1 else None
        if why := watch.obstacle or difference:
            raise CannotRecord(why)
        before.append(watch)
        return result

    def _replayed(self, kind: _Kind, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if kind not in self.recordings:
            self.model.zero_grad()
            self.recordings[kind] = self.recorder.record(work, [self.generator])
        self.recordings[kind].replay()
        return self.recordings[kind].result


def _blank(size: int) -> Batch:
    y, index = torch.zeros(2, size, dtype=torch.int64)
    return Batch(torch.zeros(size, *SHAPE), y, index, size)


def _same(found: Mapping[str, Any], expected: Mapping[str, Any], when: str) -> None:
    """Require equal values under equal names, at any depth."""
    for name, value in expected.items():
        other = found.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            _same(other, value, f"{when}{name}: ")
            continue
        if isinstance(value, Tensor) and isinstance(other, Tensor):
            equal = torch.equal(value, other)
        else:
            equal = value == other
        require(
            equal,
            f"replayed, {when}{name} is not that of ordinary steps: they take up what Python has"
            " changed, which neither the size of the batch nor `branch` tells",
        )
