"""Projections, starts and the prior, against definitions written out here."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from regmix_bench.attacks.ball import ascend, project
from regmix_bench.attacks.noise import gaussian_start, uniform_start
from regmix_bench.attacks.pgd import input_gradient, pgd
from regmix_bench.methods.prior import Prior
from regmix_bench.types import Batch, ThreatModel

NORMS = ("Linf", "L2")

pixels = st.lists(st.floats(0, 1, width=32), min_size=12, max_size=12)
moves = st.lists(st.floats(-3, 3, width=32), min_size=12, max_size=12)
budgets = st.sampled_from(["0.0001", "8/255", "1/8", "0.5", "1"])
# A busy machine is slow, and that is no finding.
many = settings(deadline=None)
few = settings(deadline=None, max_examples=50)
dtypes = st.sampled_from([torch.float32, torch.float64])


def images(values: list[float], dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype).reshape(2, 1, 2, 3)


def size(delta: Tensor, norm: str) -> Tensor:
    """Per image, in float64 so that measuring adds no rounding of its own."""
    flat = delta.double().flatten(1)
    return flat.abs().amax(1) if norm == "Linf" else flat.square().sum(1).sqrt()


def in_dtype(epsilon: float, dtype: torch.dtype) -> float:
    """ε as the nearest number of ``dtype``: 8/255 itself is not one."""
    return torch.tensor(epsilon, dtype=dtype).item()


@many
@given(pixels, moves, budgets, dtypes, st.sampled_from(NORMS))
def test_a_projection_lies_in_the_ball_and_among_valid_pixels(
    x: list[float], delta: list[float], epsilon: str, dtype: torch.dtype, norm: str
) -> None:
    threat = ThreatModel(norm, epsilon)
    clean = images(x, dtype)
    projected = project(images(delta, dtype), clean, threat)
    assert projected.dtype == dtype
    limit = in_dtype(float(threat.epsilon), dtype)
    # L∞ only clips, so it is exact; the L2 scaling rounds each coordinate once or twice.
    slack = 0 if norm == "Linf" else 8 * torch.finfo(dtype).eps
    assert (size(projected, norm) <= limit * (1 + slack)).all()
    assert ((clean + projected >= 0) & (clean + projected <= 1)).all()


@many
@given(pixels, moves, budgets, dtypes, st.sampled_from(NORMS))
def test_projecting_twice_changes_nothing_more(
    x: list[float], delta: list[float], epsilon: str, dtype: torch.dtype, norm: str
) -> None:
    threat = ThreatModel(norm, epsilon)
    clean = images(x, dtype)
    once = project(images(delta, dtype), clean, threat)
    twice = project(once, clean, threat)
    tolerance = 0 if norm == "Linf" else 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(twice, once, rtol=tolerance, atol=0)


@many
@given(pixels, moves, budgets, st.sampled_from(NORMS))
def test_a_point_inside_stays_exactly_where_it_is(
    x: list[float], delta: list[float], epsilon: str, norm: str
) -> None:
    threat = ThreatModel(norm, epsilon)
    clean = images(x, torch.float64)
    inside = images(delta, torch.float64) / 3 * float(threat.epsilon) / math.sqrt(12)
    inside = (clean + inside).clamp(0, 1) - clean
    assert torch.equal(project(inside, clean, threat), inside)


@few
@given(pixels, moves, budgets)
def test_the_linf_projection_is_the_nearest_feasible_point(
    x: list[float], delta: list[float], epsilon: str
) -> None:
    threat = ThreatModel("Linf", epsilon)
    budget = float(threat.epsilon)
    clean, far = images(x, torch.float64), images(delta, torch.float64)
    projected = project(far, clean, threat)
    low, high = (-clean).clamp_min(-budget), (1 - clean).clamp_max(budget)
    # The set is a box, so the nearest point is found coordinate by coordinate, on a fine grid.
    grid = torch.linspace(0, 1, 401, dtype=torch.float64).reshape(-1, 1, 1, 1, 1)
    candidates = low + grid * (high - low)
    best = (candidates - far).abs().amin(0)
    assert ((projected - far).abs() <= best + 1e-15).all()


@few
@given(moves, st.sampled_from(["0.01", "0.25"]))
def test_far_from_the_rim_the_l2_projection_is_the_nearest_point(
    delta: list[float], epsilon: str
) -> None:
    threat = ThreatModel("L2", epsilon)
    grey, far = torch.full((2, 1, 2, 3), 0.5, dtype=torch.float64), images(delta, torch.float64)
    projected = project(far, grey, threat)
    # Optimality: the residual points outwards along the projected point, or vanishes.
    residual = (far - projected).flatten(1)
    outwards = projected.flatten(1)
    inner = (residual * outwards).sum(1)
    torch.testing.assert_close(
        inner, residual.norm(dim=1) * outwards.norm(dim=1), atol=1e-12, rtol=0
    )
    outside = far.flatten(1).norm(dim=1) > float(threat.epsilon)
    assert (residual.norm(dim=1)[~outside] <= 1e-12).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_image_without_gradient_does_not_move(norm: str, dtype: torch.dtype) -> None:
    threat = ThreatModel(norm, "1/8")
    x = torch.full((2, 1, 2, 3), 0.5, dtype=dtype)
    start = torch.full_like(x, 1 / 64)
    gradient = torch.zeros_like(x)
    gradient[1, 0, 0, 0] = 3.0
    moved = ascend(start, x, gradient, threat, 1 / 32)
    assert torch.equal(moved[0], start[0])
    expected = start[1].clone()
    expected[0, 0, 0] += 1 / 32
    torch.testing.assert_close(moved[1], expected)


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1.0, 1e15])
def test_an_l2_step_has_the_asked_length_whatever_the_gradients_size(scale: float) -> None:
    threat = ThreatModel("L2", "0.25")
    x = torch.full((1, 1, 2, 3), 0.5, dtype=torch.float64)
    gradient = torch.arange(1.0, 7.0, dtype=torch.float64).reshape(x.shape) * scale
    moved = ascend(torch.zeros_like(x), x, gradient, threat, 0.0625)
    torch.testing.assert_close(moved, 0.0625 * gradient / gradient.norm())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("start", [uniform_start, gaussian_start])
def test_starts_are_feasible_seeded_and_in_the_images_dtype(start, norm, dtype) -> None:
    threat = ThreatModel(norm, "8/255")
    x = torch.rand(64, 3, 4, 4, generator=torch.Generator().manual_seed(1)).to(dtype)
    first, again, other = (
        start(x, threat, torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
    )
    assert first.dtype == dtype
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    limit = in_dtype(8 / 255, dtype) * (1 + 8 * torch.finfo(dtype).eps)
    assert (size(first, norm) <= limit).all()
    assert ((x + first >= 0) & (x + first <= 1)).all()


def test_the_linf_start_is_uniform_in_the_ball() -> None:
    grey = torch.full((2000, 1, 2, 3), 0.5, dtype=torch.float64)
    start = uniform_start(grey, ThreatModel("Linf", "1/4"), torch.Generator().manual_seed(0))
    share = (start.flatten() + 0.25) / 0.5  # its distribution function, if uniform
    ranks = torch.linspace(0, 1, share.numel(), dtype=torch.float64)
    # Kolmogorov–Smirnov: 1.63/√n is passed by one seed in a hundred, and this seed is fixed.
    assert (share.sort().values - ranks).abs().max() < 1.63 / math.sqrt(share.numel())


def test_the_l2_start_is_uniform_in_the_ball() -> None:
    grey = torch.full((4000, 1, 2, 3), 0.5, dtype=torch.float64)
    start = uniform_start(grey, ThreatModel("L2", "1/4"), torch.Generator().manual_seed(0))
    radius = start.flatten(1).norm(dim=1) / 0.25
    share = radius.pow(6).sort().values  # six dimensions: the volume grows with the sixth power
    ranks = torch.linspace(0, 1, len(share), dtype=torch.float64)
    assert (share - ranks).abs().max() < 1.63 / math.sqrt(len(share))
    # No direction is preferred: the mean of unit vectors is near zero, their covariance is I/6.
    unit = (start.flatten(1) / start.flatten(1).norm(dim=1, keepdim=True)).double()
    assert unit.mean(0).abs().max() < 4 / math.sqrt(6 * len(unit))
    identity = torch.eye(6, dtype=torch.float64) / 6
    torch.testing.assert_close(unit.T @ unit / len(unit), identity, atol=0.02, rtol=0)


def test_the_gaussian_start_has_the_asked_scale() -> None:
    grey = torch.full((500, 1, 4, 4), 0.5, dtype=torch.float64)
    start = gaussian_start(grey, ThreatModel("Linf", "8/255"), torch.Generator().manual_seed(0))
    assert start.std().item() == pytest.approx(0.001, rel=0.03)


def test_the_input_gradient_leaves_images_and_weights_alone() -> None:
    weight = torch.tensor([1.0, -2.0], requires_grad=True)
    x = torch.tensor([3.0, 5.0])
    gradient = input_gradient(lambda z: (weight * z.square()).sum(), x)
    assert torch.equal(gradient, torch.tensor([6.0, -20.0]))
    assert weight.grad is None
    assert not x.requires_grad


@pytest.mark.parametrize("norm", NORMS)
def test_pgd_climbs_to_the_maximum_of_a_linear_function(norm: str) -> None:
    x = torch.full((3, 1, 2, 3), 0.5, dtype=torch.float64)
    slope = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    threat = ThreatModel(norm, "1/8")
    delta = pgd(
        lambda z: (slope * z).sum(), x, threat, delta=torch.zeros_like(x), steps=5, step_size=1 / 32
    )
    unit = slope / slope.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)
    torch.testing.assert_close(delta, (slope.sign() if norm == "Linf" else unit) / 8)
    assert not delta.requires_grad


# The prior of FGSM-MEP


def visit(prior: Prior, batch: Batch, gradient: Tensor, seed: int, weight: float = 1.0) -> Tensor:
    threat = ThreatModel("Linf", "1/8")
    delta = prior.initial(batch, threat, torch.Generator().manual_seed(seed))
    prior.update(batch, delta, gradient, threat, weight)
    return delta


def normal(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 1, 2, 2, generator=generator, dtype=torch.float64)


def test_the_prior_follows_its_recursion_and_starts_again() -> None:
    epsilon = 0.125
    index = torch.tensor([4, 0, 2])
    # Sixty-fourths are exact in float32, in which the prior is kept.
    x = torch.randint(0, 65, (3, 1, 2, 2), generator=torch.Generator().manual_seed(0)) / 64
    batch = Batch(x.double(), torch.zeros(3, dtype=torch.int64), index)
    prior = Prior(5, (1, 2, 2), torch.device("cpu"), reset=3)

    def feasible(delta: Tensor) -> Tensor:
        return (batch.x + delta.clamp(-epsilon, epsilon)).clamp(0, 1) - batch.x

    delta = momentum = torch.zeros_like(batch.x)
    for epoch in range(1, 8):
        prior.on_epoch_start(epoch)
        if epoch in (1, 4, 7):  # a reset every third epoch
            noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(epoch)) - 0.5
            delta = feasible(epsilon * noise.double().sign())
            momentum = torch.zeros_like(momentum)
        gradient, weight = normal(100 + epoch), 0.5 + 0.25 * epoch
        seen = visit(prior, batch, gradient, epoch, weight)
        assert torch.equal(seen, delta), epoch
        # ‖g‖₁ runs over the whole batch, not over one image.
        momentum = weight * gradient / gradient.abs().sum() + 0.3 * momentum
        delta = feasible(delta + epsilon * momentum.sign())
        torch.testing.assert_close(prior.momentum[index].double(), momentum, rtol=1e-6, atol=0)
        assert torch.equal(prior.delta[index].double(), delta), epoch
    untouched = torch.tensor([1, 3])
    assert not prior.delta[untouched].any()
    assert not prior.momentum[untouched].any()


def test_a_prior_met_under_another_crop_is_brought_back_among_valid_pixels() -> None:
    prior = Prior(3, (1, 2, 2), torch.device("cpu"), reset=9)
    index, y = torch.arange(3), torch.zeros(3, dtype=torch.int64)
    prior.on_epoch_start(1)
    visit(prior, Batch(torch.full((3, 1, 2, 2), 0.5).double(), y, index), normal(0), 0)
    prior.on_epoch_start(2)
    white = torch.ones(3, 1, 2, 2, dtype=torch.float64)
    delta = visit(prior, Batch(white, y, index), normal(1), 1)
    assert (delta <= 0).all()
    assert (delta < 0).any()


def test_a_batch_without_gradient_leaves_a_finite_prior() -> None:
    prior = Prior(3, (1, 2, 2), torch.device("cpu"), reset=9)
    batch = Batch(torch.full((3, 1, 2, 2), 0.5), torch.zeros(3).long(), torch.arange(3))
    prior.on_epoch_start(1)
    delta = visit(prior, batch, torch.zeros(3, 1, 2, 2), 0)
    assert torch.equal(prior.delta, delta)
    assert not prior.momentum.any()


def test_a_compact_prior_holds_a_momentum_near_a_millionth() -> None:
    size, index = 64, torch.arange(64)
    x = torch.rand(size, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = Batch(x, torch.zeros(size).long(), index)
    gradient = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) * 1e-3
    threat = ThreatModel("Linf", "8/255")
    priors = [Prior(size, (3, 8, 8), torch.device("cpu"), 9, compact) for compact in (False, True)]
    found = []
    for prior in priors:
        prior.on_epoch_start(1)
        visit_at = prior.initial(batch, threat, torch.Generator().manual_seed(2))
        prior.update(batch, visit_at, gradient, threat)
        prior.on_epoch_start(2)
        found.append(prior.initial(batch, threat, torch.Generator()))
    full, compact = priors
    assert compact.momentum.nbytes == full.momentum.nbytes / 2
    assert full.momentum.abs().median() < 1e-4
    relative = (compact.momentum.float() - full.momentum).abs() / full.momentum.abs()
    assert relative.max() <= 2**-8
    assert found[1].dtype == x.dtype and found[1].abs().max() <= 8 / 255
    torch.testing.assert_close(found[1], found[0], rtol=2**-8, atol=0)
