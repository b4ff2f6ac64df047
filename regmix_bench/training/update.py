"""One update of the weights: a method's step on a batch, its gradients, the optimiser, averages."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regmix_bench.distributed.collectives import size, whole_batch
from regmix_bench.methods.averaging import WeightAverage
from regmix_bench.methods.protocol import Method
from regmix_bench.models.execution import ModelRunner
from regmix_bench.specs import Recipe
from regmix_bench.types import Batch, ThreatModel


class Update:
    """Moves the weights of ``model`` by one step of the optimiser for every batch it is called on.

    ``trained`` runs the model, ``average`` is that of the recipe's weight averaging, if any.
    ``rate`` is a learning rate on the device, taken for that of the optimiser where it is set: a
    number would be frozen into a recording.
    """

    rate: Tensor | None = None

    def __init__(
        self,
        model: nn.Module,
        trained: ModelRunner,
        method: Method,
        threat: ThreatModel,
        optimizer: Optimizer,
        recipe: Recipe,
        average: WeightAverage | None,
    ) -> None:
        self.model, self.trained, self.method, self.threat = model, trained, method, threat
        self.optimizer, self.recipe, self.average = optimizer, recipe, average

    def __call__(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Update the weights; returns the loss and the method's metrics, detached scalars."""
        with self.trained.step(), whole_batch(batch.total):
            output = self.method.step(self.trained, batch, self.threat, generator)
            self.optimizer.zero_grad(set_to_none=True)
            self._backward(output.loss, batch)
        if self.recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_clip)
        self._move()
        self.trained.average_statistics()
        self.method.after_update(self.model)
        if self.average is not None:
            assert isinstance(self.recipe.ema_decay, float)
            self.average.update(self.model, self.recipe.ema_decay)
        return {"loss": output.loss.detach(), **output.metrics}

    def _move(self) -> None:
        (group,) = self.optimizer.param_groups
        number = group["lr"]
        group["lr"] = number if self.rate is None else self.rate
        try:
            self.optimizer.step()
        finally:
            group["lr"] = number

    def _backward(self, loss: Tensor, batch: Batch) -> None:
        if size() > 1 and batch.total is not None:
            # The mean of the shares' means counts an image of the smaller share for more.
            loss = loss * (len(batch.y) * size() / batch.total)
        loss.backward()
