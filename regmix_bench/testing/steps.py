"""Steps of a method on a small network and a few images, as the trainer takes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import nn

from regmix_bench.methods.protocol import Method
from regmix_bench.models import build_model
from regmix_bench.testing.contract import Subject, norms_of
from regmix_bench.testing.samples import images, labels
from regmix_bench.types import Batch, Epsilon, StepOutput, ThreatModel

SHAPE = (1, 8, 8)
SIZE = 24
CPU = torch.device("cpu")


def cases(subject: Subject) -> Iterator[tuple[str, torch.dtype]]:
    """Return each norm of a method with each floating-point type."""
    return itertools.product(norms_of(subject), (torch.float32, torch.float64))


def threat_of(norm: str) -> ThreatModel:
    """Return the budget 8/255 under ``norm``."""
    return ThreatModel(norm, Epsilon("8/255"))


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    """Return a small network in training mode, always with the same weights."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return build_model("smallcnn", SHAPE, 10).to(dtype).train()


def batches_of(dtype: torch.dtype = torch.float32) -> list[Batch]:
    """Return two batches of unequal size."""
    x, y = images(SIZE, SHAPE, dtype), labels(SIZE, 10)
    order = torch.randperm(SIZE, generator=torch.Generator().manual_seed(2))
    return [Batch(x[index], y[index], index) for index in order.split([16, 8])]


def ready(subject: Subject, mass: float | None = None) -> Method:
    """Return a new instance that is set up, with ``mass`` for the true class if it is given."""
    method: Method = subject.create()
    method.true_class_mass = method.true_class_mass if mass is None else mass
    method.setup(SIZE, SHAPE, CPU)
    return method


def take_step(method: Method, model: nn.Module, batch: Batch, norm: str) -> StepOutput:
    """Take a step under ``norm``, always with the same numbers drawn."""
    return method.step(model, batch, threat_of(norm), torch.Generator().manual_seed(0))


def train_epoch(
    method: Method, model: nn.Module, number: int, norm: str, dtype: torch.dtype = torch.float32
) -> list[StepOutput]:
    """Train one epoch by plain gradient descent, as the trainer calls a method."""
    method.on_epoch_start(number)
    generator = torch.Generator().manual_seed(number)
    outputs = []
    for batch_number, batch in enumerate(batches_of(dtype)):
        method.on_batch_start(batch_number)
        output = method.step(model, batch, threat_of(norm), generator)
        model.zero_grad()
        output.loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.1 * parameter.grad)
        method.after_update(model)
        outputs.append(output)
    return outputs
