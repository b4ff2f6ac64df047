"""AAER: which images are abnormal, what they cost, and the term that costs nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.formulas import EXACT, ce, logits, network
from support.steps import EPSILON, batch, drawing, feasible, made, modes, same_loss, stepped
from torch import Tensor, nn

from regmix_baselines.aaer import AAERConfig, abnormal_regulariser
from regmix_bench.types import Batch

WEIGHTS = {"lambda1": 0.5, "lambda2": 3.0, "lambda3": 2.0}


def regulariser(before: Tensor, after: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """By sets of images, as the authors write it."""
    abnormal = before > after
    if not 0 < abnormal.sum() < len(after):
        return torch.zeros((), dtype=after.dtype)
    moved = (first.detach() - last).square().sum(1)
    hinge = moved[abnormal].mean() - moved[~abnormal].mean().detach()
    fall = (before - after)[abnormal].mean().detach()
    return abnormal.double().mean() * (3.0 * fall + 2.0 * hinge.clamp_min(0))


def expected(name: str, model: nn.Module, data: Batch) -> tuple[Tensor, Tensor]:
    x = data.x
    drawn = 2 * torch.rand(x.shape, generator=drawing(), dtype=x.dtype) - 1
    if name == "rs-aaer":
        start = feasible(EPSILON * drawn, x)
    else:
        start = (x + 2 * EPSILON * drawn).clamp(0, 1) - x
    z = (x + start).requires_grad_()
    first = model(z)
    before = ce(first, data.y, 0.7)
    (g,) = torch.autograd.grad(before.sum(), z)
    if name == "rs-aaer":
        x_adv = x + feasible(start + 1.25 * EPSILON * g.sign(), x)
    else:
        x_adv = (x + start + EPSILON * g.sign()).clamp(0, 1)
    last = model(x_adv)
    after = ce(last, data.y, 0.7)
    loss = after.mean() + 0.5 * regulariser(before.detach(), after, first.detach(), last)
    return x_adv.detach(), loss


@pytest.mark.parametrize("name", ["rs-aaer", "n-aaer"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_step_is_its_formula(name: str, seed: int) -> None:
    data, model, reference = batch(seed), network(), network()
    for twin in (model, reference):
        nn.init.constant_(twin[1].weight, 25.0)  # so steep that a step may overshoot
    method = made(name, **WEIGHTS)
    method.true_class_mass = 0.7
    output = stepped(method, model, data)
    x_adv, loss = expected(name, reference, data)
    torch.testing.assert_close(output.x_adv, x_adv, rtol=0, atol=1e-12)
    assert output.metrics["aaer"] > 0, "no image was abnormal"
    same_loss(output, model, loss, reference)


LOSSES = torch.tensor([1.0, 2.0, 0.5, 1.5, 3.0], dtype=torch.float64)
ONE_FALLS = torch.tensor([2.0, 1.0, 2.0, 2.0, 3.0], dtype=torch.float64)
CASES = {
    "one falls": ONE_FALLS,
    "three fall": torch.tensor([0.0, 1.0, 2.0, 2.0, 2.5], dtype=torch.float64),
    "none falls": LOSSES + 1,
    "an equal one does not fall": LOSSES,
    "all fall": LOSSES - 0.1,
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("near", ["all", "abnormal"])
def test_the_regulariser_by_weights_is_the_one_by_sets(case: str, near: str) -> None:
    after, first, last = CASES[case], logits(0).detach(), logits(1)
    if near == "abnormal":  # whose change is then below that of the others: the hinge is shut
        with torch.no_grad():
            last[after < LOSSES] = first[after < LOSSES]
    found = abnormal_regulariser(LOSSES, after, first, last, AAERConfig(**WEIGHTS))
    want = regulariser(LOSSES, after, first, last)
    torch.testing.assert_close(found, want, **EXACT)
    (mine,) = torch.autograd.grad(found, last)
    theirs = torch.zeros_like(last)
    if want.requires_grad:
        (theirs,) = torch.autograd.grad(want, last)
    torch.testing.assert_close(mine, theirs, **EXACT)
    open_hinge = case in ("one falls", "three fall") and near == "all"
    assert not theirs[after >= LOSSES].any(), "the others are detached"
    assert bool(theirs.any()) <= open_hinge


def test_the_fall_of_the_loss_is_a_constant() -> None:
    """λ2 moves the loss and no weight: both losses are detached, as in the authors' program."""

    def of(lambda2: float) -> tuple[float, Any]:
        last = logits(1)
        config = AAERConfig(lambda1=1.0, lambda2=lambda2, lambda3=2.0)
        after = ONE_FALLS + last[:, 0] - last[:, 0].detach()  # of which a gradient could flow
        found = abnormal_regulariser(LOSSES, after, logits(0).detach(), last, config)
        return found.item(), torch.autograd.grad(found, last)[0]

    (none, gradient), (much, same) = of(0.0), of(100.0)
    assert much == pytest.approx(none + 0.2 * 100)
    assert torch.equal(gradient, same) and gradient.any()


def test_the_weight_grows_over_the_first_epochs_where_asked() -> None:
    method = made("rs-aaer", warmup=20, lambda1=0.5)
    weights = []
    for epoch in (1, 6, 21, 30):
        method.on_epoch_start(epoch)
        weights.append(method.weight.item())
    assert weights == [0.0, 0.125, 0.5, 0.5]
    at_once = made("rs-aaer", lambda1=0.5)
    at_once.on_epoch_start(1)
    assert at_once.weight.item() == 0.5


@pytest.mark.parametrize(
    ("name", "lambda2", "lambda3", "reach"), [("rs-aaer", 2.5, 1.5, 1), ("n-aaer", 1.5, 0.15, 3)]
)
def test_published_defaults_and_passes(
    name: str, lambda2: float, lambda3: float, reach: float
) -> None:
    method, model = made(name), network()
    config = method.config
    assert (config.lambda1, config.lambda2, config.lambda3) == (1.0, lambda2, lambda3)
    assert method.largest_perturbation == reach
    seen = modes(model)
    stepped(method, model, batch())
    assert seen == [True, True], "the logits at the start are those of the attack"
