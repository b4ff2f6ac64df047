"""IKL-AT, from its formula; the theorem behind it is tested beside the losses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.formulas import ce, log_p, network, sce, wmse
from support.steps import (
    CLASSES,
    EPSILON,
    batch,
    drawing,
    feasible,
    made,
    modes,
    passes,
    same_loss,
    stepped,
)
from torch import Tensor, nn

from regmix_bench.types import Batch

EPOCHS = 10


def attacked(model: nn.Module, data: Batch, weights: Tensor, epoch: int, beta: float) -> Tensor:
    """The images x' by the method's definition; ``model`` ends in training mode."""
    x, radius = data.x, EPSILON * epoch / EPOCHS
    model.eval()
    clean = model(x).detach()
    delta = feasible(0.001 * torch.randn(x.shape, generator=drawing(), dtype=x.dtype), x)
    for _ in range(5):
        z = (x + delta).requires_grad_()
        logits = model(z)
        loss = (sce(clean, logits) + beta * wmse(clean, logits, weights)).mean()
        (g,) = torch.autograd.grad(loss, z)
        moved = (delta + radius / 2 * g.sign()).clamp(-radius, radius)
        delta = (x + moved).clamp(0, 1) - x
    model.train()
    return x + delta


@pytest.mark.parametrize("beta", [0.0, 1.0], ids=["first version", "second"])
def test_steps_are_their_formula_with_the_class_means_of_the_epoch_before(beta: float) -> None:
    model, reference = network(), network()
    method = made("ikl-at", epochs=EPOCHS, alpha=3.0, beta=7.0, attack_beta=beta)
    method.true_class_mass = 0.7
    w = torch.full((CLASSES, CLASSES), 1 / CLASSES, dtype=torch.float64)
    for epoch, labels in (
        (1, [0, 0, 1, 3, 3, 1]),
        (2, [0, 1, 2, 2, 1, 0]),
        (6, [0, 1, 2, 3, 3, 3]),
    ):
        data = replace(batch(epoch), y=torch.tensor(labels))
        output = stepped(method, model, data, epoch)
        torch.testing.assert_close(method.class_means.double(), w, rtol=1e-6, atol=1e-7)
        weights = method.class_means.double()[data.y]  # to the digits of float32
        x_adv = attacked(reference, data, weights, epoch, beta)
        torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
        adv, clean = reference(x_adv), reference(data.x)
        expected = ce(clean, data.y, 0.7).mean() + 3 * sce(clean, adv).mean()
        expected = expected + 7 * wmse(clean, adv, weights).mean()
        same_loss(output, model, expected, reference)
        soft = log_p(clean.detach() / 4).exp()
        for label in set(labels):  # a class without an image keeps its row
            w[label] = soft[data.y == label].mean(0)


def test_the_cross_entropy_is_that_of_clean_images() -> None:
    data, model = batch(), network()
    output = stepped(made("ikl-at", alpha=0.0, beta=0.0), model, data)
    assert not torch.equal(output.x_adv, data.x)
    same_loss(output, model, ce((other := network())(data.x), data.y).mean(), other)


def test_the_attack_sees_evaluation_mode_and_the_clean_images_once() -> None:
    model = network()
    seen = modes(model)
    stepped(made("ikl-at"), model, batch())
    assert seen == [False] + [False] * 5 + [True, True]


def test_the_ball_grows_in_equal_steps_to_that_of_the_last_epoch() -> None:
    data, method = batch(), made("ikl-at", epochs=4)
    reaches = [
        (stepped(method, network(), data, epoch).x_adv - data.x).abs().max().item()
        for epoch in (1, 2, 3, 4)
    ]
    assert reaches == pytest.approx([EPSILON / 4, EPSILON / 2, 3 * EPSILON / 4, EPSILON])


def test_the_class_means_go_on_in_the_middle_of_what_was_saved() -> None:
    method, resumed = made("ikl-at", epochs=4), made("ikl-at", epochs=4)
    stepped(method, network(), batch(), 1)
    resumed.load_state_dict(method.state_dict())
    for each in (method, resumed):
        each.on_epoch_start(2)
    assert torch.equal(resumed.class_means, method.class_means)
    torch.testing.assert_close(method.class_means.sum(1), torch.ones(CLASSES))
    assert not torch.allclose(method.class_means, torch.full_like(method.class_means, 1 / CLASSES))


def test_a_step_costs_fifteen_passes() -> None:
    assert passes("ikl-at") == (8, 7)
