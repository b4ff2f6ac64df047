"""N-FGSM: noise beyond the ball, one step, and no projection on it."""

from __future__ import annotations

import pytest
import torch
from support.formulas import ce, network
from support.steps import EPSILON, batch, drawing, made, modes, same_loss, stepped
from torch import Tensor, nn

from regmix_bench.types import Batch


def attacked(model: nn.Module, data: Batch, noise: float, step: float) -> Tensor:
    drawn = torch.rand(data.x.shape, generator=drawing(), dtype=data.x.dtype)
    noisy = (data.x + (2 * drawn - 1) * noise * EPSILON).clamp(0, 1).requires_grad_()
    (g,) = torch.autograd.grad(ce(model(noisy), data.y, 0.7).sum(), noisy)
    return (noisy + step * EPSILON * g.sign()).clamp(0, 1).detach()


@pytest.mark.parametrize(("noise", "step"), [(2.0, 1.0), (3.0, 0.5), (0.0, 1.0)])
def test_a_step_is_its_formula(noise: float, step: float) -> None:
    data, model, reference = batch(), network(), network()
    method = made("n-fgsm", noise_ratio=noise, step_ratio=step)
    method.true_class_mass = 0.7
    output = stepped(method, model, data)
    x_adv = attacked(reference, data, noise, step)
    torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
    same_loss(output, model, ce(reference(output.x_adv), data.y, 0.7).mean(), reference)


def test_it_leaves_the_ball_and_stays_among_valid_pixels() -> None:
    """By default up to 3ε; the clips of noise and step are to pixels alone."""
    data, model = batch(count=60), network()
    seen: list[Tensor] = []
    model.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0].detach()))
    method = made("n-fgsm")
    output = stepped(method, model, data)
    furthest = (output.x_adv - data.x).abs().max().item()
    assert 2.9 * EPSILON < furthest <= 3 * EPSILON + 1e-12
    assert method.largest_perturbation == 3
    noisy, x_adv = seen
    assert torch.equal(x_adv, output.x_adv)
    assert (noisy - data.x).abs().max() > 1.9 * EPSILON
    for images in seen:
        assert images.min() == 0 and images.max() == 1


def test_it_costs_two_passes_each_way_in_training_mode() -> None:
    model = network()
    seen = modes(model)
    stepped(made("n-fgsm"), model, batch())
    assert seen == [True, True]
