"""Projections and steps, against definitions written out here."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.norms import in_dtype, size
from torch import Tensor

from regmix_bench.attacks.ball import ascend, project
from regmix_bench.types import ThreatModel

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


@many
@given(pixels, moves, budgets, dtypes, st.sampled_from(NORMS), st.booleans())
def test_a_projection_lies_in_the_ball_and_among_valid_pixels(
    x: list[float],
    delta: list[float],
    epsilon: str,
    dtype: torch.dtype,
    norm: str,
    pixels_first: bool,
) -> None:
    threat = ThreatModel(norm, epsilon)
    clean = images(x, dtype)
    projected = project(images(delta, dtype), clean, threat, pixels_first)
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


@many
@given(pixels, moves, budgets)
def test_clipping_pixels_first_is_the_same_for_linf_and_never_shorter_in_l2(
    x: list[float], delta: list[float], epsilon: str
) -> None:
    clean, moved = images(x, torch.float64), images(delta, torch.float64)
    linf, l2 = ThreatModel("Linf", epsilon), ThreatModel("L2", epsilon)
    torch.testing.assert_close(
        project(moved, clean, linf, pixels_first=True), project(moved, clean, linf)
    )
    first, last = project(moved, clean, l2, pixels_first=True), project(moved, clean, l2)
    assert (size(first, "L2") >= size(last, "L2") - 1e-12).all()


def test_in_l2_clipping_pixels_first_scales_what_the_clip_leaves() -> None:
    clean = torch.tensor([1.0, 0.5], dtype=torch.float64).view(1, 1, 1, 2)
    moved = torch.tensor([4.0, 0.3], dtype=torch.float64).view(1, 1, 1, 2)
    threat = ThreatModel("L2", "1/4")
    # The step leaves a white pixel: clipped first, all of the budget is left to the other.
    assert project(moved, clean, threat, pixels_first=True).flatten().tolist() == [0.0, 0.25]
    scaled = 0.25 * 0.3 / math.hypot(4.0, 0.3)
    assert project(moved, clean, threat).flatten().tolist() == pytest.approx([0.0, scaled])
