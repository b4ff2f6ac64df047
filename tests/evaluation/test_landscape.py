"""The loss around images of a model whose loss is known: two classes, one line between them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from regmix_bench.data import EvalData
from regmix_bench.evaluation.landscape import GRID, SHOWN, curvature, loss_surface, measure_views
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

STEPS = torch.linspace(-1, 1, GRID)


class Line(nn.Module):
    """Logits (w·x, 0): of class 0 the loss is softplus(−w·x), of class 1 softplus(w·x)."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        score = x.flatten(1) @ self.weight
        return torch.stack([score, torch.zeros_like(score)], 1)


@pytest.fixture
def line() -> Line:
    generator = torch.Generator().manual_seed(0)
    return Line(torch.randn(12, generator=generator)).eval()


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(9, 3, 2, 2, generator=generator), torch.arange(9) % 2


def reach(line: Line, threat: ThreatModel) -> float:
    """How much a step of length ε along the gradient changes w·x."""
    order = {"Linf": 1, "L2": 2, "L1": math.inf}[threat.norm]  # under L1 it moves one pixel
    return float(threat.epsilon) * torch.linalg.vector_norm(line.weight.detach(), order).item()


def signs(y: Tensor) -> Tensor:
    """What makes of w·x the score whose softplus is the loss."""
    return 2.0 * y - 1


def test_the_surface_along_the_adversarial_direction_is_the_known_one(line, images, threat):
    x, y = images
    surface = loss_surface(line, x, y, threat)
    assert surface.shape == (9, GRID, GRID)
    score = signs(y) * line(x)[:, 0].detach()
    expected = softplus(score[:, None] + STEPS * reach(line, threat))
    torch.testing.assert_close(surface[:, :, GRID // 2], expected)


def test_the_random_direction_is_as_long_and_the_same_again(line, images, threat):
    x, y = images
    surface = loss_surface(line, x, y, threat)
    assert torch.equal(surface, loss_surface(line, x, y, threat))
    # Back from the loss to the score, which is linear in the step, and moves least this way.
    score = surface[:, GRID // 2].double().expm1().log()
    slope = (score[:, -1] - score[:, 0]) / 2
    torch.testing.assert_close(
        score, score[:, :1] + (STEPS + 1) * slope[:, None], rtol=1e-4, atol=1e-5
    )
    assert (slope.abs() < reach(line, threat)).all() and (slope != 0).all()


def test_curvature_is_the_change_of_the_gradient_per_length_of_the_step(line, images, threat):
    x, y = images
    bends, norms = curvature(line, x, y, threat)
    weight = torch.linalg.vector_norm(line.weight.detach())
    score = signs(y) * line(x)[:, 0].detach()
    torch.testing.assert_close(norms, score.sigmoid() * weight)
    length = float(threat.epsilon) * (math.sqrt(12) if threat.norm == "Linf" else 1.0)
    change = ((score + reach(line, threat)).sigmoid() - score.sigmoid()) * weight
    torch.testing.assert_close(bends, change.abs() / length, rtol=1e-4, atol=1e-6)


def test_no_curvature_without_a_gradient(images, threat):
    x, y = images
    bends, norms = curvature(Line(torch.zeros(12)), x, y, threat)
    assert bends.isnan().all() and (norms == 0).all()


def test_views_hold_what_the_model_says_and_leave_it_as_it_was(trained, threat):
    model, x, y = trained(10)
    test = EvalData(x, y, torch.arange(100, 137), "d" * 64, 10)
    before = torch.random.get_rng_state()
    views = measure_views(model, test, threat, Scoring())
    again = measure_views(model, test, threat, Scoring())
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(parameter.requires_grad for parameter in model.parameters())
    for name in ("perturbation", "loss", "curvature", "gradient_norm", "adv_pred"):
        assert np.array_equal(getattr(views, name), getattr(again, name))

    assert len(views.label) == SHOWN == len(set(views.label.tolist()))  # of ten classes
    place = views.index - 100
    assert np.array_equal(views.label, y[place].numpy())
    assert np.array_equal(views.image, x[place].half().numpy())
    with torch.no_grad():
        assert np.array_equal(views.clean_pred, model(x[place]).argmax(1).numpy())
        expected = nn.functional.cross_entropy(model(x[place]), y[place], reduction="none")
    middle = views.loss[:, GRID // 2, GRID // 2]
    assert middle == pytest.approx(expected.numpy(), rel=1e-4, abs=1e-6)
    order = np.inf if threat.norm == "Linf" else 2
    delta = views.perturbation.astype(np.float64).reshape(SHOWN, -1)
    assert np.linalg.norm(delta, order, axis=1).max() <= float(threat.epsilon) * 1.001
    assert len(views.curvature) == len(views.gradient_norm) == len(y)
