"""LIET, from its formula, with its random labels and patterns."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from support.formulas import kl, log_p, network
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

from regmix_baselines.liet import js_divergence, randomly_smoothed
from regmix_bench.errors import UserError
from regmix_bench.methods import load_method

MASS = 0.4


def soft_ce(logits: Tensor, y: Tensor, drawn: Tensor) -> Tensor:
    """CE against a label that deals 1 − mass out to the wrong classes, as they were drawn."""
    loss = torch.zeros(len(y), dtype=logits.dtype)
    for i, true in enumerate(y.tolist()):
        wrong = [k for k in range(CLASSES) if k != true]
        for k in range(CLASSES):
            share = MASS if k == true else (1 - MASS) * drawn[i, k] / drawn[i, wrong].sum()
            loss[i] = loss[i] - share * log_p(logits)[i, k]
    return loss


def js(p: Tensor, q: Tensor) -> Tensor:
    mixture = ((log_p(p).exp() + log_p(q).exp()) / 2).log()
    return (kl(p, mixture) + kl(q, mixture)) / 2


def patterns(model: nn.Module, drawn: Tensor) -> Tensor:
    grey = torch.full((CLASSES, 1, 4, 4), 0.5, dtype=torch.float64, requires_grad=True)
    loss = soft_ce(model.eval()(grey), torch.arange(CLASSES), drawn).sum()
    model.train()
    return EPSILON * torch.autograd.grad(loss, grey)[0].sign()


LARGE: dict[str, Any] = {"mask_low": 0.0, "mask_high": 1.0, "noise_ratio": 2.0, "project": False}


@pytest.mark.parametrize("config", [{}, LARGE], ids=["8/255", "above"])
def test_a_step_is_its_formula(config: dict[str, Any]) -> None:
    model, reference, data = network(), network(), batch()
    method = made("liet", epochs=10, refresh=2, **config)
    x, y, low, high, reach = data.x, data.y, 0.1, 0.5, 1.0
    if config:
        low, high, reach = 0.0, 1.0, 2.0
    taken = torch.empty(0)
    for number in range(4):
        output = stepped(method, model, data, epoch=3, number=number)
        drawn = partial(torch.rand, generator=drawing(), dtype=torch.float64)
        if number % 2 == 0:
            taken = patterns(reference, drawn(CLASSES, CLASSES))
        share, coin = drawn(2)
        masked = drawn(*x.shape) < low + (high - low) * share
        noise = reach * EPSILON * (2 * drawn(*x.shape) - 1)
        delta = torch.where(masked, noise, taken[y])
        z = (x + (-delta if coin < 0.5 else delta)).clamp(0, 1).requires_grad_()
        first = reference(z)
        (g,) = torch.autograd.grad(soft_ce(first, y, drawn(6, 4)).sum(), z, retain_graph=True)
        moved = z.detach() + EPSILON * g.sign()
        x_adv = moved.clamp(0, 1) if config else x + feasible(moved - x, x)
        torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
        adv = reference(x_adv)
        # The label of the loss is another than that of the attack.
        loss = soft_ce(adv, y, drawn(6, 4)).mean() + 100 * 3 / 10 * js(first, adv).mean()
        same_loss(output, model, loss, reference)


def test_patterns_are_taken_every_so_many_batches_in_evaluation_mode() -> None:
    method, model = made("liet"), network()
    seen, branches = modes(model), []
    for number in (0, 1, 19, 20, 21, 40):
        del seen[:]
        stepped(method, model, batch(), number=number)
        assert seen == [*([False] if number % 20 == 0 else []), True, True]
        branches.append(method.branch)
    assert branches == [True, False, False, True, False, True]


def test_the_wrong_classes_share_the_rest_at_random() -> None:
    y = torch.eye(5, dtype=torch.float64)[[0, 3, 3]]
    drawn = torch.rand(3, 5, generator=drawing(), dtype=torch.float64)
    label = randomly_smoothed(y, MASS, drawn)
    torch.testing.assert_close(label.sum(1), torch.ones(3, dtype=torch.float64))
    torch.testing.assert_close((label * y).sum(1), torch.full((3,), MASS, dtype=torch.float64))
    torch.testing.assert_close(label[1, 0] / label[1, 4], drawn[1, 0] / drawn[1, 4])
    assert torch.equal(randomly_smoothed(y, 1.0, drawn), y)
    mixed = randomly_smoothed(0.3 * y[:1] + 0.7 * y[1:2], MASS, drawn[:1])  # of two images
    assert mixed.sum().item() == pytest.approx(1) and mixed.min() > 0


def test_the_weight_grows_to_the_last_epoch() -> None:
    method = made("liet", epochs=4)
    found = []
    for epoch in range(1, 5):
        method.on_epoch_start(epoch)
        found.append(method.weight.item())
    assert found == [25.0, 50.0, 75.0, 100.0]


def test_the_divergence_is_symmetric_and_differentiable_in_both_arguments() -> None:
    p, q = (torch.randn(5, 4, generator=drawing(), dtype=torch.float64) for _ in range(2))
    q = q.flip(0) * 2
    torch.testing.assert_close(js_divergence(p, q), js(p, q).mean())
    torch.testing.assert_close(js_divergence(p, q), js_divergence(q, p))
    assert torch.autograd.gradcheck(js_divergence, (p.requires_grad_(), q.requires_grad_()))
    far = torch.tensor([[900.0, -900.0]], dtype=torch.float64)
    assert js_divergence(far, -far).item() == pytest.approx(0.6931471805599453)


def test_unprojected_images_go_three_times_as_far_at_most() -> None:
    assert made("liet").largest_perturbation == 1
    assert made("liet", project=False).largest_perturbation == 2
    method, data = made("liet", **LARGE), batch()
    reach = (stepped(method, network(), data).x_adv - data.x).abs().max().item() / EPSILON
    assert method.largest_perturbation == 3 and 1.5 < reach <= 3
    assert method.clips_pixels


def test_a_mask_from_much_to_little_is_refused() -> None:
    with pytest.raises(UserError, match="mask_low is above mask_high"):
        load_method("liet", mask_low=0.6)


def test_a_step_that_takes_no_patterns_costs_five_passes() -> None:
    assert passes("liet") == (2, 3)
