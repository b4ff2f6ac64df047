"""GAT and NuAT: what they have in common, and the loss of both, from their formulas."""

from __future__ import annotations

import pytest
import torch
from support.formulas import ce, log_p, network
from support.steps import EPSILON, batch, drawing, feasible, made, modes, passes, same_loss, stepped
from torch import Tensor, nn

from regmix_bench.types import Batch

EPOCHS = 100
GUIDED = [("gat", {"lambda_": 3.0}, 10), ("nuat", {"lambda_": 3.0}, 95)]


def distance(name: str, p: Tensor, q: Tensor, size: int) -> Tensor:
    if name == "gat":
        return (log_p(p).exp() - log_p(q).exp()).square().sum() / len(p)
    return torch.linalg.matrix_norm(p - q, "nuc") / size


def attacked(name: str, model: nn.Module, data: Batch, weight: float) -> Tensor:
    """The images x' by the methods' definition; ``model`` ends in training mode."""
    x, y = data.x, data.y
    guide = model(x).detach()
    signs = (torch.rand(x.shape, generator=drawing(), dtype=x.dtype) - 0.5).sign()
    initial = (x + EPSILON / 2 * signs).clamp(0, 1) - x
    z = (x + initial).requires_grad_()
    logits = model.eval()(z)
    loss = ce(logits, y, 0.7).mean() + weight * distance(name, guide, logits, 6)
    (g,) = torch.autograd.grad(loss, z)
    model.train()
    return x + feasible(initial + EPSILON * g.sign(), x)


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(("name", "config", "epoch"), GUIDED)
def test_a_step_is_its_formula(
    name: str, config: dict[str, float], epoch: int, number: int
) -> None:
    data, model, reference = batch(), network(), network()
    method = made(name, epochs=EPOCHS, **config)
    method.true_class_mass = 0.7
    output = stepped(method, model, data, epoch, number)
    x_adv = attacked(name, reference, data, 3.0 * number)
    torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
    adversarial, clean = reference(x_adv), reference(data.x)
    statistics = [
        (mine.clone(), other)
        for mine, other in zip(model.buffers(), reference.buffers(), strict=True)
    ]
    for mine, other in statistics:
        torch.testing.assert_close(mine, other)
    expected = ce(clean, data.y, 0.7).mean() + 3.0 * distance(name, clean, adversarial, 6)
    same_loss(output, model, expected, reference)


@pytest.mark.parametrize("name", ["gat", "nuat"])
def test_the_cross_entropy_is_that_of_clean_images(name: str) -> None:
    data, model = batch(), network()
    output = stepped(made(name, lambda_=0.0), model, data)
    assert not torch.equal(output.x_adv, data.x)
    same_loss(output, model, ce((other := network())(data.x), data.y).mean(), other)


@pytest.mark.parametrize("name", ["gat", "nuat"])
def test_the_start_sees_evaluation_mode_and_the_guide_training_mode(name: str) -> None:
    model = network()
    seen = modes(model)
    stepped(made(name), model, batch(), number=1)
    assert seen == [True, False, True, True]  # guide, x₀, x', x
    assert model.training


@pytest.mark.parametrize(("name", "config", "epoch"), GUIDED)
def test_every_second_batch_of_an_epoch_is_attacked_by_cross_entropy_alone(
    name: str, config: dict[str, float], epoch: int
) -> None:
    images = []
    for number, weight in ((0, 3.0), (1, 3.0), (2, 3.0), (1, 0.0)):
        method = made(name, epochs=EPOCHS, **config | {"lambda_": weight})
        images.append(stepped(method, network(), batch(), epoch, number).x_adv)
    first, second, third, plain = images
    assert torch.equal(first, third) and torch.equal(first, plain)
    assert not torch.equal(first, second)


def weights(name: str, epochs: int, **config: float) -> list[float]:
    method = made(name, epochs=epochs, **config)
    found = []
    for epoch in range(1, epochs + 1):
        method.on_epoch_start(epoch)
        found.append(method.weight.item())
    return found


def test_the_weight_of_gat_is_four_times_as_large_after_the_epoch_numbered_85_from_0() -> None:
    assert weights("gat", 100) == [10.0] * 86 + [40.0] * 14
    assert weights("gat", 20) == [10.0] * 18 + [40.0] * 2


def test_the_weight_of_nuat_grows_from_0_and_stays() -> None:
    assert weights("nuat", 100) == pytest.approx([4.5 * t / 90 for t in range(90)] + [4.5] * 10)
    averaged = weights("nuat", 100, lambda_=4.0, ramp=1.0)  # NuAT-WA
    assert averaged == pytest.approx([4.0 * t / 100 for t in range(100)])
    assert weights("nuat", 10) == pytest.approx([t / 2 for t in range(9)] + [4.5])


@pytest.mark.parametrize("name", ["gat", "nuat"])
def test_a_step_costs_seven_passes(name: str) -> None:
    assert passes(name) == (4, 3)
