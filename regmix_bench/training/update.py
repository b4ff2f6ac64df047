"""One update of the weights: a method's step on a batch, its gradients, the optimiser, averages."""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from regmix_bench.distributed.collectives import size, whole_batch
from regmix_bench.errors import UserError
from regmix_bench.methods.averaging import WeightAverage
from regmix_bench.methods.protocol import Method
from regmix_bench.models.execution import ModelRunner
from regmix_bench.specs import Recipe
from regmix_bench.training.awp import WeightPerturbation
from regmix_bench.types import NORMS, Batch, StepOutput, ThreatModel

#: What an update returns of the lengths |δ|/ε of its perturbations: their mean and maximum.
LENGTH, LONGEST = "perturbation.mean", "perturbation.max"


class Update:
    """Moves the weights of ``model`` by one step of the optimiser for every batch it is called on.

    ``trained`` runs the model, ``average`` is that of the recipe's weight averaging, if any. With
    ``recipe.awp_gamma`` the step is taken where weights are perturbed: the attack and the gradient
    that perturbs are those of the weights w, the optimiser sees gradients, weights and so weight
    decay at w + v, and running statistics are those of the passes there alone.
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
        gamma = recipe.awp_gamma
        self.perturbation = None if gamma is None else WeightPerturbation(model, gamma)
        self.epoch = 1

    def start_epoch(self, epoch: int) -> None:
        """Begin ``epoch``, counted from 1."""
        self.epoch = epoch

    @property
    def branch(self) -> Hashable:
        """Name the way that the next step will take, the method's own included."""
        return self._averages, self._perturbs, self.method.branch

    def __call__(self, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        """Update the weights; returns the loss, metrics and |δ|/ε, detached scalars."""
        with whole_batch(batch.total):
            if self.perturbation is not None and self._perturbs:
                output = self._perturbed(self.perturbation, batch, generator)
            else:
                output = self._differentiated(batch, generator)
                self._move()
        self.trained.average_statistics()
        self.method.after_update(self.model)
        if self.average is not None and self._averages:
            assert isinstance(self.recipe.ema_decay, float)
            self.average.update(self.model, self.recipe.ema_decay)
        moved = (output.x_adv - batch.x).detach()
        lengths = NORMS[self.threat.norm].length(moved) / float(self.threat.epsilon)
        longest = {LENGTH: lengths.mean(), LONGEST: lengths.max()}
        return {"loss": output.loss.detach(), **output.metrics, **longest}

    @property
    def _averages(self) -> bool:
        return self.average is not None and self.epoch >= self.recipe.ema_start

    @property
    def _perturbs(self) -> bool:
        return self.perturbation is not None and self.epoch > self.recipe.awp_warmup

    def _differentiated(self, batch: Batch, generator: torch.Generator) -> StepOutput:
        """Take the method's step and its gradients at the present weights."""
        with self.trained.step():
            output = self.method.step(self.trained, batch, self.threat, generator)
            self._require_output(output, batch)
            if self.perturbation is not None and output.again is None:  # in a warm-up already
                raise UserError(
                    f"recipe.awp_gamma = {self.recipe.awp_gamma:g}: {self.method.name} cannot be"
                    " trained so, its steps do not give their loss again"
                )
            self.optimizer.zero_grad(set_to_none=True)
            self._backward(output.loss, batch)
        return output

    def _require_output(self, output: object, batch: Batch) -> None:
        """Raise :class:`UserError` for what no update can be made of; reads no tensor's value."""
        said = f"the step of {self.method.name} returns"
        if not isinstance(output, StepOutput):
            found = "nothing" if output is None else f"a {type(output).__name__}"
            raise UserError(f"{said} {found}, and a StepOutput is expected")
        loss, moved = output.loss, output.x_adv
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise UserError(f"{said} a loss that is no scalar tensor with a gradient")
        if not isinstance(moved, Tensor) or moved.shape != batch.x.shape:
            raise UserError(f"{said} an x_adv that has not the shape of the batch")

    def _perturbed(
        self, perturbation: WeightPerturbation, batch: Batch, generator: torch.Generator
    ) -> StepOutput:
        """Take the method's step at w, and that of the optimiser at w + v."""
        statistics = perturbation.statistics()
        output = self._differentiated(batch, generator)
        assert output.again is not None
        with perturbation.applied():
            self.optimizer.zero_grad(set_to_none=True)
            statistics.put_back()
            with self.trained.step():
                self._backward(output.again(), batch)
            self._move()
        return output

    def _move(self) -> None:
        if self.recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.gradient_clip)
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
