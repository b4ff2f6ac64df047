"""Steps on blank images before a training begins: to compile, to choose kernels, to count FLOP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from regmix_bench.attacks.noise import epoch_generator
from regmix_bench.data import TrainingData
from regmix_bench.distributed.collectives import share, size, whole_batch
from regmix_bench.methods.configured import tell_recipe
from regmix_bench.methods.protocol import Method
from regmix_bench.models.execution import ModelRunner
from regmix_bench.records.schema import Cost
from regmix_bench.specs import RunSpec
from regmix_bench.training.flops import count_flop
from regmix_bench.types import Batch


def tell_method(method: Method, spec: RunSpec, data: TrainingData) -> None:
    """Tell a method what it is to know of the recipe, of the classes and of the seed of a run."""
    varied = not data.train.once_an_epoch
    tell_recipe(method, spec.recipe, data.num_classes, spec.seed, varied)


@dataclass(frozen=True)
class Rehearsal:
    """Steps of a run's method that leave no state, on any model of the run."""

    spec: RunSpec
    data: TrainingData
    method: Method
    device: torch.device

    def warm_up(self, trained: ModelRunner, say: Callable[[str], None]) -> Cost:
        """Compile ``trained``, and choose its kernels; returns the seconds it took.

        ``say`` gets a line where a kernel cannot be used.
        """
        trained.model.train()
        sizes = self.data.train.batch_sizes
        mine = share(max(sizes))
        shape = mine.stop - mine.start, *self.data.image_shape
        took = trained.choose_kernels(torch.zeros(shape, device=self.device), say)
        if trained.execution.compile:
            took += trained.warm_up(partial(self.loss, trained, total) for total in sorted(sizes))
        return Cost(compile_seconds=took)

    def flop_per_image(self, model: nn.Module) -> float | None:
        """Return the FLOP of a step for an image; None where they cannot be counted."""
        total = 2 * size()  # batch norm needs two images in each process
        flop = count_flop(
            model, self.spec.recipe.precision, lambda runner: self.loss(runner, total)
        )
        return None if flop is None else flop / 2

    def loss(self, runner: ModelRunner, total: int) -> Tensor:
        """Return the method's loss on a batch of ``total`` blank images, a scalar."""
        mine = share(total)
        n, shape = mine.stop - mine.start, self.data.image_shape
        method = type(self.method)(self.method.config)
        tell_method(method, self.spec, self.data)
        method.setup(total, shape, self.device)
        method.on_epoch_start(1)
        method.on_batch_start(0)
        x = torch.zeros(n, *shape, device=self.device)
        index, partly = torch.arange(mine.start, mine.stop), self.data.train.partly_labelled
        labels = -(index % 2) if partly else torch.zeros(n, dtype=torch.int64)
        batch = Batch(x, labels.to(self.device), index.to(self.device), total, partly)
        attack = epoch_generator(self.device, self.spec.seed, 0, "attack")
        with whole_batch(total):
            output = method.step(runner, batch, self.spec.train_threat, attack)
            if self.spec.recipe.awp_gamma is None or output.again is None:
                return output.loss
            return output.loss + output.again()
