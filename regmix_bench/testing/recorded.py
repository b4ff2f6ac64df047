"""Training by recorded steps, beside the same training by ordinary ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from regmix_bench.methods.protocol import Method
from regmix_bench.models.execution import ModelRunner
from regmix_bench.replay.protocol import REHEARSALS
from regmix_bench.replay.tape import TapeRecorder
from regmix_bench.specs import Recipe
from regmix_bench.system.machine import Execution
from regmix_bench.testing.contract import require
from regmix_bench.testing.samples import images, labels
from regmix_bench.testing.steps import CPU, SHAPE
from regmix_bench.training.optim import make_optimizer
from regmix_bench.training.steps import ReplayedSteps, Steps
from regmix_bench.training.update import Update
from regmix_bench.types import Batch, ThreatModel

#: Sizes of the batches, which come in turn, each so often in an epoch: rehearsed, then replayed.
SIZES, VISITS = (16, 8), REHEARSALS + 3
COUNT = sum(SIZES) * VISITS
#: The second may be of another branch than the first, and the third goes on with what it recorded.
EPOCHS = (1, 2, 3)


def compare_recorded(
    make: Callable[[], Method], network: Callable[[], nn.Module], threat: ThreatModel
) -> str | None:
    """Require that a training whose steps are recorded is, in every number, the one without.

    Returns what is said to the user where steps cannot be recorded, or only anew in each epoch.
    """
    said: list[str] = []
    ordinary = _Training(make(), network(), threat, Steps)
    recorded = _Training(
        make(),
        network(),
        threat,
        lambda update, device: ReplayedSteps(update, device, TapeRecorder(), said.append),
    )
    for epoch in EPOCHS:
        both = zip(ordinary.epoch(epoch), recorded.epoch(epoch), strict=True)
        for expected, found in both:
            _same(found, expected, f"in epoch {epoch}")
    _same(recorded.state(), ordinary.state(), "after training")
    return said[0] if said else None


class _Training:
    def __init__(
        self,
        method: Method,
        model: nn.Module,
        threat: ThreatModel,
        make_steps: Callable[[Update, torch.device], Steps],
    ) -> None:
        self.method, self.model = method, model
        method.setup(COUNT, SHAPE, CPU)
        recipe = Recipe(epochs=len(EPOCHS), precision="fp32")
        optimizer = make_optimizer(model.parameters(), recipe, CPU, graphs=True)
        trained = ModelRunner(model, Execution())
        update = Update(model, trained, method, threat, optimizer, recipe, average=None)
        self.steps = make_steps(update, CPU)

    def epoch(self, number: int) -> Iterator[dict[str, Tensor]]:
        """Yield what each step of an epoch returns."""
        self.method.on_epoch_start(number)
        self.steps.start_epoch(number, seed=number)
        x, y = images(COUNT, SHAPE), labels(COUNT, 10)
        order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(number))
        for batch_number, index in enumerate(order.split(SIZES * VISITS)):
            self.method.on_batch_start(batch_number)
            yield self.steps(Batch(x[index], y[index], index, len(index)))

    def state(self) -> dict[str, Any]:
        """Return what is left of the training."""
        return {
            "the model": self.model.state_dict(),
            "the model to score": self.method.evaluated_model(self.model).state_dict(),
            "the method": self.method.state_dict(),
        }


def _same(found: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    """Require equal values under equal names, at any depth."""
    for name, value in expected.items():
        other, named = found.get(name), f"{where}, {name}"
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            _same(other, value, named)
            continue
        if isinstance(value, Tensor) and isinstance(other, Tensor):
            equal = torch.equal(value, other)
        else:
            equal = value == other
        require(
            equal,
            f"{named} is another where steps are replayed: they take up what Python has changed,"
            " which neither the batch nor `branch` tells",
        )
