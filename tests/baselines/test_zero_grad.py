"""ZeroGrad: the small entries of each image's gradient move nothing."""

from __future__ import annotations

import pytest
import torch
from support.formulas import ce, network
from support.steps import EPSILON, batch, drawing, feasible, made, modes, same_loss, stepped

from regmix_baselines.zero_grad import image_quantile


@pytest.mark.parametrize("q", [0.0, 0.35, 0.7, 1.0])
def test_a_step_is_its_formula_and_what_is_zeroed_keeps_its_start(q: float) -> None:
    data, model, reference = batch(), network(), network()
    method = made("zero-grad", quantile=q)
    method.true_class_mass = 0.7
    output = stepped(method, model, data)
    drawn = torch.rand(data.x.shape, generator=drawing(), dtype=data.x.dtype)
    start = feasible((2 * drawn - 1) * EPSILON, data.x)
    z = (data.x + start).requires_grad_()
    (g,) = torch.autograd.grad(ce(reference(z), data.y, 0.7).sum(), z)
    delta = start.clone()
    for place, image in enumerate(g):
        threshold = torch.quantile(image.abs(), q)
        large = image.abs() >= threshold
        delta[place][large] += 2 * EPSILON * image.sign()[large]
    expected = data.x + feasible(delta, data.x)
    torch.testing.assert_close(output.x_adv, expected, rtol=0, atol=1e-12)
    stayed = (output.x_adv - data.x - start).abs() < 1e-12
    assert stayed.double().mean() >= q - 1 / 16
    same_loss(output, model, ce(reference(output.x_adv), data.y, 0.7).mean(), reference)


@pytest.mark.parametrize("q", [0.0, 0.1, 0.35, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("shape", [(3, 3, 5, 5), (2, 1, 1, 2), (4, 1, 1, 1)])
def test_the_quantile_is_of_each_image_alone(q: float, shape: tuple[int, ...]) -> None:
    values = torch.rand(shape, generator=drawing(), dtype=torch.float64)
    values[0] *= 1000
    found = image_quantile(values, q)
    assert found.shape == (shape[0], 1, 1, 1)
    torch.testing.assert_close(found.flatten(), torch.quantile(values.flatten(1), q, dim=1))


def test_it_costs_two_passes_each_way_in_training_mode() -> None:
    model = network()
    seen = modes(model)
    stepped(made("zero-grad"), model, batch())
    assert seen == [True, True]
