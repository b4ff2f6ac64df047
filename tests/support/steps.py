"""A step of a method on a small network, and the moves of images that formulas are made of."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from regmix_bench.methods import load_method
from regmix_bench.methods.protocol import Method
from regmix_bench.models.predictions import PassCounter
from regmix_bench.types import Batch, StepOutput, ThreatModel
from support.formulas import EXACT, network

EPSILON = 0.125
CLASSES = 4


def batch(seed: int = 0, count: int = 6) -> Batch:
    """Images of which some pixels are black or white."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 65, (count, 1, 4, 4), generator=generator).double() / 64
    # The network's own answers but for one, so that "correct" is neither all nor none.
    y = copy.deepcopy(network())(x).argmax(1)
    y[0] = (y[0] + 1) % CLASSES
    return Batch(x, y, torch.arange(count))


def made(name: str, *, epochs: int = 1, batch_size: int = 6, **params: Any) -> Method:
    """The method, as a trainer prepares it for 9 images of :data:`CLASSES` classes."""
    method = load_method(name, **params)
    method.epochs, method.batch_size, method.num_classes = epochs, batch_size, CLASSES
    method.setup(9, (1, 4, 4), torch.device("cpu"))
    return method


def stepped(
    method: Method, model: nn.Module, data: Batch, epoch: int = 1, number: int = 0
) -> StepOutput:
    """What its step makes of the epoch's batch ``number``; all is drawn from :func:`drawing`."""
    method.on_epoch_start(epoch)
    method.on_batch_start(number)
    return method.step(model, data, ThreatModel("Linf", EPSILON), drawing())


def drawing() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def feasible(delta: Tensor, x: Tensor) -> Tensor:
    return (x + delta.clamp(-EPSILON, EPSILON)).clamp(0, 1) - x


def modes(model: nn.Module) -> list[bool]:
    """A list that grows with each forward pass by whether it is one of training mode."""
    seen: list[bool] = []
    model.register_forward_hook(lambda module, *_: seen.append(module.training))
    return seen


def passes(name: str) -> tuple[int, int]:
    """How often each image of a batch goes through the network, forwards and backwards."""
    model, data = network(), batch()
    with PassCounter(model) as counter:
        stepped(made(name), model, data, number=1).loss.backward()
    (forward, no), (backward, none) = (
        divmod(count, len(data.x)) for count in (counter.forward_images, counter.backward_images)
    )
    assert no == none == 0
    return forward, backward


def same_loss(output: StepOutput, model: nn.Module, expected: Tensor, other: nn.Module) -> None:
    """The loss, that of ``again``, and their gradients are those of ``expected``."""
    theirs = torch.autograd.grad(expected, list(other.parameters()))
    assert output.again is not None
    before = {name: value.clone() for name, value in model.named_buffers()}
    for loss in (output.loss, output.again()):
        torch.testing.assert_close(loss, expected, **EXACT)
        mine = torch.autograd.grad(loss, list(model.parameters()))
        torch.testing.assert_close(mine, theirs, **EXACT)
    for name, value in model.named_buffers():  # which the second pass has moved once more
        value.copy_(before[name])
