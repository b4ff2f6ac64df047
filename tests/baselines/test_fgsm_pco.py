"""FGSM-PCO, from its formula, over visits of the same images."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from support.formulas import ce, log_p, network
from support.steps import EPSILON, batch, drawing, feasible, made, passes, same_loss, stepped
from torch import Tensor, nn

from regmix_bench.types import Batch


class Mixture(NamedTuple):
    x_adv: Tensor
    loss: Tensor
    delta: Tensor


def mixed(model: nn.Module, data: Batch, delta: Tensor, live: bool = True) -> Mixture:
    """What a visit at ``delta`` trains on, and the δ of the next; c is detached unless ``live``."""
    x, y = data.x, data.y
    z = (x + delta).requires_grad_()
    first = model(z)
    (g,) = torch.autograd.grad(ce(first, y, 0.7).sum(), z, retain_graph=True)
    step = feasible(delta + EPSILON * g.sign(), x)
    c = 1 - log_p(first).exp()[range(len(y)), y][:, None, None, None]
    c = c if live else c.detach()
    x_adv = c * (x + delta) + (1 - c) * (x + 1.5 * step)
    adv, far = model(x_adv), model(x + step)
    apart = (far - first).square().mean() - (far - adv).square().mean()
    return Mixture(x_adv.detach(), ce(adv, y, 0.7).mean() + 4 * apart.abs(), step)


def start(x: Tensor) -> Tensor:
    return EPSILON * (torch.rand(x.shape, generator=drawing()) - 0.5).sign().double()


def test_visits_are_their_formula_and_no_epoch_resets_the_prior() -> None:
    model, reference = network(), network()
    method = made("fgsm-pco", lambda_=4.0, epochs=500)
    method.true_class_mass = 0.7
    delta = start(batch().x)
    for epoch in (1, 2, 41, 410):
        data = replace(batch(epoch), y=batch().y)  # other pixels at each visit
        output = stepped(method, model, data, epoch)
        expected = mixed(reference, data, delta)
        torch.testing.assert_close(output.x_adv, expected.x_adv, rtol=0, atol=1e-12)
        same_loss(output, model, expected.loss, reference)
        delta = expected.delta
        assert torch.equal(method.prior.delta[:6].double(), delta)
    assert method.state_dict().keys() == {"delta"}  # it has no momentum


def test_the_confidence_is_live() -> None:
    """The loss reaches the weights through c too; without, the same loss has other gradients."""
    model, frozen = network(), network()
    method = made("fgsm-pco", lambda_=4.0)
    method.true_class_mass = 0.7
    output = stepped(method, model, batch())
    expected = mixed(frozen, batch(), start(batch().x), live=False).loss
    torch.testing.assert_close(output.loss, expected)
    mine = torch.autograd.grad(output.loss, list(model.parameters()))
    theirs = torch.autograd.grad(expected, list(frozen.parameters()))
    assert not torch.allclose(mine[-1], theirs[-1], rtol=1e-3)


def test_images_of_a_sure_model_leave_the_ball_and_the_range_of_pixels() -> None:
    model, data = network(), batch()
    with torch.no_grad():
        model[-1].weight.mul_(100)
    method = made("fgsm-pco")
    x_adv = stepped(method, model, data).x_adv
    reach = (x_adv - data.x).abs().max().item() / EPSILON
    assert method.largest_perturbation == 1.5 and 1.49 < reach <= 1.5 + 1e-12
    assert x_adv.min() < 0 and x_adv.max() > 1 and not method.clips_pixels


def test_a_step_costs_seven_passes() -> None:
    assert passes("fgsm-pco") == (3, 4)
