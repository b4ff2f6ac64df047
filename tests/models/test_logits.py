"""What any model returns, as attacks take it, and whether it is a function of the image alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.models.logits import (
    Float32Logits,
    are_logits,
    depend_on_batch,
    differ_between_calls,
)

IMAGES = torch.rand(70, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def network(*first: nn.Module) -> nn.Module:
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        body = nn.Sequential(*first, nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten())
        return nn.Sequential(body, nn.Linear(216, 4)).eval().requires_grad_(False)


class Wrapped(nn.Module):
    def __init__(self, answer: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.answer = network(), answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(self.net, x)


def autocast(net: nn.Module, x: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return net(x)


def as_double(net: nn.Module, x: Tensor) -> Tensor:
    return net.double()(x.double())


RETURNS = {
    "float32": lambda net, x: net(x),
    "bfloat16": autocast,
    "float16": lambda net, x: net(x).half(),
    "float64": as_double,
}


@pytest.mark.parametrize("dtype", RETURNS)
def test_logits_are_float32_and_their_gradient_is_the_models(dtype: str) -> None:
    model = Wrapped(RETURNS[dtype])
    boundary = Float32Logits(model)
    x = IMAGES.clone().requires_grad_()
    found, raw = boundary(x), model(x)
    assert found.dtype == torch.float32 and raw.dtype == getattr(torch, dtype)
    assert torch.equal(found, raw.float())
    (expected,) = torch.autograd.grad(raw.float().sum(), x)
    (gradient,) = torch.autograd.grad(found.sum(), x)
    assert torch.equal(gradient, expected) and gradient.abs().max() > 0
    assert boundary.returned(IMAGES[:1]) == dtype


def test_the_type_is_found_where_nothing_was_asked_before() -> None:
    assert Float32Logits(Wrapped(RETURNS["float16"])).returned(IMAGES[:1]) == "float16"


@pytest.mark.parametrize(
    "held",
    [
        lambda table, x: table[: len(x)],  # a view of a weight
        lambda table, x: table[0].expand(len(x), 4),  # rows that share their memory
        lambda table, x: table.t().contiguous().t()[: len(x)],  # another layout
    ],
)
def test_attacks_may_write_into_logits(held: Callable[[Tensor, Tensor], Tensor]) -> None:
    table = torch.rand(100, 4)
    before = table.clone()
    logits = Float32Logits(lambda x: held(table, x))(IMAGES)
    assert logits.is_contiguous()
    logits[torch.arange(70), 0] = -torch.inf
    assert torch.equal(table, before)


def test_what_is_no_ordinary_tensor_of_numbers_is_handed_on_to_be_refused() -> None:
    for odd in (
        (IMAGES, IMAGES),
        torch.ones(2, 4, dtype=torch.int64),
        torch.ones(2, 4, dtype=torch.complex64),
        torch.ones(2, 4).to_sparse(),
        torch.ones(2, 4, device="meta"),
    ):
        assert not are_logits(odd)
        assert Float32Logits(lambda x, odd=odd: odd)(IMAGES) is odd


class Batchwise(nn.Module):
    """Batch statistics in evaluation mode, which moves every logit with the batch."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm, self.net = norm, network()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.norm(x))


class Positional(nn.Module):
    """Adds its place in the batch to every image, which only another order or size shows."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + torch.arange(len(x))[:, None] * 0.01


DEPENDENT = {
    "batch norm without running statistics": Batchwise(
        nn.BatchNorm2d(3, track_running_stats=False)
    ),
    "the batch's largest logit": Wrapped(lambda net, x: net(x) / net(x).abs().max()),
    "the batch's mean image": Wrapped(lambda net, x: net(x - x.mean(0))),
    "the batch's brightest pixel": Wrapped(lambda net, x: net(x / x.max())),
    "the batch's darkest pixel": Wrapped(lambda net, x: net(x - x.min())),
    "its place in the batch": Positional(),
    "its neighbour": Wrapped(lambda net, x: net(x) + 0.1 * net(x.roll(1, 0))),
    "the mean, in bfloat16": Wrapped(lambda net, x: autocast(net, x - x.mean(0))),
    "noise of a fixed seed": Wrapped(
        lambda net, x: (
            net(x) + torch.rand(len(x), 4, generator=torch.Generator().manual_seed(len(x)))
        )
    ),
}


@pytest.mark.parametrize("name", DEPENDENT)
def test_a_model_that_looks_at_the_rest_of_the_batch_is_found(name: str) -> None:
    model = DEPENDENT[name].eval()
    images = IMAGES.clone()
    images[:, :, 0, :2] = torch.tensor([0.0, 1.0])  # which every one has
    assert not differ_between_calls(model, images)
    assert depend_on_batch(model, images)


@pytest.mark.parametrize("dtype", RETURNS)
def test_rounding_is_no_dependence_in_any_precision(dtype: str) -> None:
    model = Float32Logits(Wrapped(RETURNS[dtype]))
    assert not depend_on_batch(model, IMAGES)
    # As large as it may be: the last place of every number may fall either way.
    place = torch.finfo(getattr(torch, dtype)).eps

    class Rounds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            logits = self.model(x)
            return logits + (len(x) % 2) * min(place, 1e-2) * logits.abs().max()

    assert not depend_on_batch(Rounds(), IMAGES)


def test_what_computes_in_few_bits_and_returns_many_has_the_tolerance_of_few() -> None:
    model = Wrapped(lambda net, x: autocast(net, x).float() * (1 + 0.005 * (len(x) % 2)))
    assert not depend_on_batch(model, IMAGES)
    exact = Wrapped(lambda net, x: net(x) * (1 + 0.005 * (len(x) % 2)))
    assert depend_on_batch(exact, IMAGES)


def test_a_random_model_is_random_and_not_dependent() -> None:
    noisy = Wrapped(lambda net, x: net(x) + 0.1 * torch.randn(len(x), 4))
    assert differ_between_calls(noisy, IMAGES)
    assert not depend_on_batch(noisy, IMAGES)


def test_an_honest_model_is_neither_with_one_image_too() -> None:
    for count in (1, 2, 70):
        assert not differ_between_calls(network(), IMAGES[:count])
        assert not depend_on_batch(network(), IMAGES[:count])
