"""A watch finds in ordinary steps what a recording of them would get wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.replay.watch import Watch

CPU = torch.device("cpu")


class Method:
    """A network and what a method may keep of its steps."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
        self.x, self.y = torch.rand(6, 4), torch.randint(3, (6,))
        self.generator = torch.Generator()
        self.updates, self.average = 0, torch.zeros(6, 3)
        self.kept = {"logits": torch.zeros(6, 3)}

    def loss(self) -> Tensor:
        noise = torch.rand(self.x.shape, generator=self.generator)
        with torch.autocast("cpu", torch.bfloat16):
            logits = self.net(self.x + 0.1 * noise)
        self.average.lerp_(logits.detach().float(), 0.1)
        return nn.functional.cross_entropy(logits.float(), self.y)

    def step(self, more: Callable[[Method, Tensor], Any] = lambda method, loss: None) -> Tensor:
        self.updates += 1
        self.net.zero_grad()
        loss = self.loss()
        more(self, loss.detach())
        loss.backward()
        with torch.no_grad():
            for parameter in self.net.parameters():
                parameter.sub_(0.1 * parameter.grad)
        return loss.detach()


def watched(more: Callable[[Method, Tensor], Any]) -> tuple[Watch, Watch]:
    """Two steps, one after the other."""
    method, watches = Method(), []
    for _ in range(2):
        with Watch(CPU) as watch:
            method.step(more)
        watches.append(watch)
    return watches[0], watches[1]


def line(code: Any, further: int = 1) -> str:
    return rf"test_watch\.py:{code.__code__.co_firstlineno + further}\)$"


def test_watching_changes_nothing() -> None:
    one, other = Method(), Method()
    for _ in range(3):
        expected = one.step()
        with Watch(CPU):
            assert torch.equal(other.step(), expected)
    assert torch.equal(one.average, other.average)


def test_a_step_that_can_be_recorded_has_no_obstacle_and_no_difference() -> None:
    one, two = watched(lambda method, loss: None)
    assert one.obstacle is two.obstacle is None
    assert one.difference(two) is two.difference(one) is None


def reads_item(method: Method, loss: Tensor) -> None:
    loss.item()


def reads_by_a_branch(method: Method, loss: Tensor) -> None:
    method.average *= 2 if loss > 1 else 3


def reads_list(method: Method, loss: Tensor) -> None:
    loss.tolist()


def reads_mask(method: Method, loss: Tensor) -> None:
    method.x[method.x > 0.5]


def reads_twice(method: Method, loss: Tensor) -> None:
    loss.nonzero()
    loss.item()


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (reads_item, "_local_scalar_dense"),
        (reads_by_a_branch, "_local_scalar_dense"),
        (reads_list, "tolist"),
        (reads_mask, "index"),
        (reads_twice, "nonzero"),
    ],
)
def test_the_first_read_on_the_host_is_named_with_its_line(more: Any, what: str) -> None:
    found = watched(more)[0].obstacle
    assert found and found.startswith(f"{what} makes the host wait for the device (replay/")
    assert re.search(line(more), found)


def test_a_read_inside_a_model_or_a_backward_pass_is_named_too() -> None:
    class Doubling(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return 2 * x

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Tensor:
            return 2 * gradients[0] + 0 * gradients[0].sum().item()

    with Watch(CPU) as watch:
        Doubling.apply(torch.ones(2, requires_grad=True)).sum().backward()
    assert watch.obstacle and re.search(line(Doubling.backward, 2), watch.obstacle)


def counts(method: Method, loss: Tensor) -> None:
    method.average.lerp_(method.average + 1, 1 / method.updates)


def draws_a_number(method: Method, loss: Tensor) -> None:
    method.average.add_(random.random())


def slides(method: Method, loss: Tensor) -> None:
    method.x[method.updates :].mul_(1)


def alternates(method: Method, loss: Tensor) -> None:
    method.average.exp_() if method.updates % 2 else method.average.neg_()


def does_more(method: Method, loss: Tensor) -> None:
    torch.zeros(2) if method.updates == 2 else None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (counts, r"lerp_ is given 1\.0 in one step, 0\.5 in another"),
        (draws_a_number, r"add_ is given 0\.\d+ in one step, 0\.\d+ in"),
        (slides, r"slice is given 1 in one step, 2 in another"),
        (alternates, r"exp_ .* in one step is neg_ .* in another"),
        (does_more, r".* in one step is zeros .* in another"),
    ],
)
def test_a_number_of_the_host_that_changes_is_a_difference(more: Any, told: str) -> None:
    random.seed(0)
    one, two = watched(more)
    found = one.difference(two)
    assert found and re.match(told, found) and "replay/test_watch.py:" in found
    assert one.difference(one) is None


def replaces(method: Method, loss: Tensor) -> None:
    method.average = method.average + loss


def replaces_in_a_dictionary(method: Method, loss: Tensor) -> None:
    method.kept = {name: 0.9 * value + loss for name, value in method.kept.items()}


def replaces_memory(method: Method, loss: Tensor) -> None:
    method.average.data = method.average + loss


def allocates_an_epoch_anew(method: Method, loss: Tensor) -> None:
    method.average.add_(loss)
    method.average = torch.zeros(6, 3)


def draws_from_another_generator(method: Method, loss: Tensor) -> None:
    torch.rand(2, generator=torch.Generator())


def takes_another_batch(method: Method, loss: Tensor) -> None:
    method.x = torch.rand(6, 4)


@pytest.mark.parametrize(
    "more",
    [
        replaces,
        replaces_in_a_dictionary,
        replaces_memory,
        allocates_an_epoch_anew,
        takes_another_batch,
    ],
)
def test_a_tensor_that_is_replaced_is_a_difference(more: Any) -> None:
    one, two = watched(more)
    found = one.difference(two)
    assert found and "takes up a tensor in the place of another (replay/test_watch.py:" in found


def test_a_generator_that_is_replaced_is_a_difference() -> None:
    one, two = watched(draws_from_another_generator)
    assert "rand is given 'generator" in (one.difference(two) or "")


def fills(method: Method, loss: Tensor) -> None:
    method.average = method.average.add_(loss)


def fills_memory(method: Method, loss: Tensor) -> None:
    method.average.data.copy_(method.average + loss)


def makes_for_later_in_the_step(method: Method, loss: Tensor) -> None:
    method.ratio = loss / 2
    method.average.mul_(method.ratio)


@pytest.mark.parametrize("more", [fills, fills_memory, makes_for_later_in_the_step])
def test_a_tensor_that_is_filled_is_none(more: Any) -> None:
    one, two = watched(more)
    assert one.obstacle is two.obstacle is one.difference(two) is None
