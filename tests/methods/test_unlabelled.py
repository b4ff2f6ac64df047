"""Batches in which some images have no label: losses, attacks, and what is kept of an image."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.losses import cross_entropy, kl_divergence
from regmix_bench.methods import METHODS, load_method
from regmix_bench.methods.configured import tell_recipe
from regmix_bench.methods.prior import Prior
from regmix_bench.methods.regmix import Weights, regmix_terms
from regmix_bench.methods.unlabelled import attack_objective, known_cross_entropy
from regmix_bench.specs import Recipe
from regmix_bench.types import Batch, StepOutput, ThreatModel

THREAT = ThreatModel("Linf", "1/8")
LABELS = torch.tensor([2, -1, 0, -1, -1, 1])
KNOWN = LABELS >= 0
TAKING = sorted(name for name in METHODS.names() if METHODS[name].takes_unlabelled)


def batch_of(x: Tensor, y: Tensor = LABELS) -> Batch:
    return Batch(x, y, torch.arange(len(y)), partly_labelled=True)


def logits(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 4, generator=generator, dtype=torch.float64).requires_grad_()


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))


def step(name: str, y: Tensor) -> tuple[StepOutput, nn.Module]:
    model, method = network().double(), load_method(name)
    tell_recipe(method, Recipe(), 4, visits_vary=True)
    method.setup(6, (1, 4, 4), torch.device("cpu"))
    method.on_epoch_start(1)
    method.on_batch_start(0)
    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    output = method.step(model, batch_of(x, y), THREAT, torch.Generator().manual_seed(2))
    output.loss.backward()
    return output, model


def test_labels_are_asked_where_there_are_some_and_the_clean_output_elsewhere() -> None:
    at, clean = logits(1), logits(2)
    batch = batch_of(at)
    expected = cross_entropy(at[KNOWN], LABELS[KNOWN], 0.6)
    torch.testing.assert_close(known_cross_entropy(at, batch, 0.6), expected)
    climbed = attack_objective(at, batch, 0.6, clean)
    labelled = cross_entropy(at[KNOWN], LABELS[KNOWN], 0.6, "sum")
    torch.testing.assert_close(climbed, labelled + kl_divergence(clean[~KNOWN], at[~KNOWN], "sum"))
    gradients = torch.autograd.grad(climbed, (at, clean), allow_unused=True)
    assert gradients[0].abs().sum(1).min() > 0 and gradients[1] is None


def test_regularisers_of_regmix_see_all_images_at_full_weight() -> None:
    clean, initial, adv = logits(4), logits(5), logits(6)
    weights = Weights(alpha=3, beta=0.5, gamma=1.5)
    found = regmix_terms(nn.Identity(), batch_of(clean), initial, adv, weights, 0.6)
    y = torch.zeros(6, dtype=torch.int64)
    full = regmix_terms(nn.Identity(), Batch(clean, y, torch.arange(6)), initial, adv, weights, 0.6)
    assert torch.equal(found["amr"], full["amr"]) and torch.equal(found["agr"], full["agr"])
    torch.testing.assert_close(found["ce"], cross_entropy(adv[KNOWN], LABELS[KNOWN], 0.6))


def test_the_methods_that_take_them_are_those_with_terms_that_need_no_label() -> None:
    regmix = ["regmix", "regmix-agr", "regmix-amr", "regmix-pgd"]
    assert ["fgsm-pgi", *regmix, "trades"] == TAKING


@pytest.mark.parametrize("name", TAKING)
def test_a_step_takes_images_without_labels_and_moves_each_of_them(name: str) -> None:
    output, model = step(name, LABELS)
    assert output.loss.isfinite() and (output.x_adv - step(name, LABELS)[0].x_adv).abs().max() == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert output.again is not None
    torch.testing.assert_close(output.again(), output.loss)
    nothing, _ = step(name, torch.full((6,), -1))  # no label at all
    ce = next(iter(nothing.metrics.values()))
    assert ce == 0 and nothing.loss > 0


def test_a_prior_that_counts_visits_starts_each_image_again_at_its_own() -> None:
    prior = Prior(3, (1, 2, 2), torch.device("cpu"), 2, count_visits=True)
    x, y = torch.full((3, 1, 2, 2), 0.5), torch.zeros(3, dtype=torch.int64)
    visited = {0: 0, 1: 0, 2: 0}
    generator = torch.Generator().manual_seed(0)
    for number, places in enumerate([(0, 1), (0, 2), (0, 1), (1, 2), (0, 2)]):
        prior.on_epoch_start(number + 1)
        index = torch.tensor(places)
        batch = Batch(x[index], y[index], index)
        held = prior.delta[index].clone(), prior.momentum[index].clone()
        start = prior.initial(batch, THREAT, generator)
        gradient = torch.randn(start.shape, generator=generator)
        prior.update(batch, start, gradient, THREAT)
        for row, image in enumerate(places):
            begins = visited[image] % 2 == 0
            assert torch.equal(start[row].abs(), torch.full((1, 2, 2), 1 / 8)) or not begins
            assert torch.equal(start[row], held[0][row]) or begins
            before = torch.zeros(1, 2, 2) if begins else held[1][row]
            expected = gradient[row] / gradient.abs().sum() + 0.3 * before
            torch.testing.assert_close(prior.momentum[image], expected)
            visited[image] += 1
    assert prior.visits is not None and prior.visits.flatten().tolist() == [4, 3, 3]
    resumed = Prior(3, (1, 2, 2), torch.device("cpu"), 2, count_visits=True)
    resumed.load_state_dict(prior.state_dict())
    assert torch.equal(resumed.visits, prior.visits)


@pytest.mark.parametrize("method", ["standard", "liet"])
def test_a_method_whose_every_term_needs_a_label_is_refused(method: str, tmp_path: Path) -> None:
    grid = {"methods": [method], "eps": ["8/255"], "data": {"labelled": 100}}
    with pytest.raises(UserError, match=f"consistency: {method} cannot be trained so"):
        plan([grid | {"recipe": {"unlabelled": "consistency"}}])
    assert plan([grid | {"recipe": {"unlabelled": "rst"}}])
