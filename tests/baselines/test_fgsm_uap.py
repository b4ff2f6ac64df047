"""FGSM-UAP, from its formula, over batches that move the shared patterns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.formulas import ce, network
from support.steps import CLASSES, EPSILON, batch, feasible, made, passes, same_loss, stepped
from torch import Tensor

from regmix_bench.types import Batch

R = 1.25 * EPSILON


def data(seed: int) -> Batch:
    return replace(batch(seed), y=torch.tensor([[0, 0, 1, 2, 2, 2], [1, 1, 2, 0, 3, 1]][seed % 2]))


@pytest.mark.parametrize("patterns", ["one", "class"])
def test_batches_are_their_formula_and_move_the_patterns_that_they_used(patterns: str) -> None:
    model, reference = network(), network()
    method = made("fgsm-uap", patterns=patterns, lambda_=4.0)
    method.true_class_mass = 0.7
    u = R * method.patterns.double()
    assert u.shape == ((1 if patterns == "one" else CLASSES), 1, 4, 4)
    assert torch.equal(u.abs(), torch.full_like(u, R)) and -u.numel() * R < u.sum() < u.numel() * R
    m = torch.zeros_like(u)
    for number in range(5):
        batch = data(number)
        x, y = batch.x, batch.y
        k = y if patterns == "class" else torch.zeros_like(y)
        output = stepped(method, model, batch, number=number)

        delta = feasible(u[k], x)
        z = (x + delta).requires_grad_()
        first = reference(z)
        (g,) = torch.autograd.grad(ce(first, y, 0.7).mean(), z, retain_graph=True)
        x_adv = x + feasible(delta + EPSILON * g.sign(), x)
        torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-7)
        adv = reference(output.x_adv)
        expected = ce(adv, y, 0.7).mean() + 4 * (adv - first).square().mean()
        same_loss(output, model, expected, reference)

        for used in set(k.tolist()):
            m[used] = (g / g.abs().sum())[k == used].mean(0) + 0.3 * m[used]
            u[used] = (u[used] + R * m[used].sign()).clamp(-R, R)
        torch.testing.assert_close(method.momentum.double(), m, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(R * method.patterns.double(), u)
    assert set((u / R).unique().tolist()) == {-1, 0, 1}


def images(ratio: float) -> list[Tensor]:
    method, model = made("fgsm-uap", pattern_ratio=ratio), network()
    return [stepped(method, model, data(number)).x_adv for number in range(3)]


def test_the_bound_of_a_pattern_matters_below_the_ball_alone() -> None:
    """10/255 is above 8/255, to which it is cut in use, and below 16/255."""
    authors, larger, smaller = images(1.25), images(2.0), images(0.625)
    assert all(map(torch.equal, authors, larger))
    assert not any(map(torch.equal, authors, smaller))


def test_a_run_draws_its_own_patterns() -> None:
    one, other = (made("fgsm-uap", patterns="class") for _ in range(2))
    assert torch.equal(one.patterns, other.patterns)
    other.run_seed = 1
    other.setup(9, (1, 4, 4), torch.device("cpu"))
    assert not torch.equal(one.patterns, other.patterns)


def test_a_step_costs_five_passes() -> None:
    assert passes("fgsm-uap") == (2, 3)
