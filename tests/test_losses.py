"""Losses that several methods share; labels are classes or class probabilities."""

from __future__ import annotations

import pytest
import torch
from support.formulas import EXACT, LABELS, ce, kl, log_p, logits, sce, wmse

from regmix_bench.losses import (
    cross_entropy,
    kl_divergence,
    soft_cross_entropy,
    weighted_squared_error,
)


@pytest.mark.parametrize("mass", [0.5, 0.6, 0.9, 1.0])
def test_cross_entropy_gives_the_true_class_its_mass(mass: float) -> None:
    z = logits(0)
    torch.testing.assert_close(cross_entropy(z, LABELS, mass), ce(z, LABELS, mass).mean(), **EXACT)
    torch.testing.assert_close(
        cross_entropy(z, LABELS, mass, "sum"), ce(z, LABELS, mass).sum(), **EXACT
    )
    assert torch.autograd.gradcheck(lambda z: cross_entropy(z, LABELS, mass), z)


def test_the_loss_of_each_image() -> None:
    z = logits(1)
    found = cross_entropy(z, LABELS, 0.7, "none")
    torch.testing.assert_close(found, ce(z, LABELS, 0.7), **EXACT)


def test_two_classes_share_the_label_too() -> None:
    z, y = logits(0)[:, :2], torch.tensor([0, 1, 1, 0, 1])
    torch.testing.assert_close(cross_entropy(z, y, 0.5), ce(z, y, 0.5).mean(), **EXACT)


def test_kl_divergence_in_each_reduction_and_both_arguments() -> None:
    p, q = logits(1), logits(2)
    torch.testing.assert_close(kl_divergence(p, q), kl(p, q).mean(), **EXACT)
    torch.testing.assert_close(kl_divergence(p, q, "sum"), kl(p, q).sum(), **EXACT)
    torch.testing.assert_close(kl_divergence(p, q, "none"), kl(p, q), **EXACT)
    assert torch.autograd.gradcheck(kl_divergence, (p, q))
    assert not torch.allclose(kl_divergence(p, q), kl_divergence(q, p))


def test_kl_divergence_stays_finite_where_a_probability_is_zero() -> None:
    p = torch.tensor([[200.0, -200.0]], dtype=torch.float64)
    assert kl_divergence(p, p).item() == 0
    assert kl_divergence(p, -p).item() == pytest.approx(400)


@pytest.mark.parametrize("mass", [1.0, 0.6])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_mixed_labels_weigh_the_losses_of_their_classes(mass: float, reduction: str) -> None:
    """CutMix (Yun et al. 2019): λ·CE(first) + (1 − λ)·CE(second), smoothed or not."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 5, generator=generator, dtype=torch.float64)
    first, second = torch.randint(5, (2, 7), generator=generator)
    share = 0.3
    mixed = share * torch.eye(5, dtype=torch.float64)[first]
    mixed += (1 - share) * torch.eye(5, dtype=torch.float64)[second]
    expected = share * cross_entropy(logits, first, mass, reduction)
    expected += (1 - share) * cross_entropy(logits, second, mass, reduction)
    torch.testing.assert_close(cross_entropy(logits, mixed, mass, reduction), expected)


def test_the_kl_divergence_decouples_into_a_squared_error_and_a_soft_cross_entropy() -> None:
    """Cui et al. 2024: the one has the gradients of p, the other those of q, and no other."""
    p, q = logits(1), logits(2)
    expected = torch.autograd.grad(kl(p, q).mean(), (p, q))
    error, entropy = weighted_squared_error(p, q.detach()), soft_cross_entropy(p, q)
    (of_p, none), (no, of_q) = (
        torch.autograd.grad(half, (p, q), allow_unused=True) for half in (error, entropy)
    )
    assert none is None and no is None
    torch.testing.assert_close((of_p, of_q), expected, rtol=1e-10, atol=1e-10)
    # Their improvement moves q by the squared error too, and p no less and no more.
    moved = torch.autograd.grad(weighted_squared_error(p, q), (p, q))
    torch.testing.assert_close(moved[0], expected[0], rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(moved[1], -moved[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("given", [False, True])
def test_the_halves_of_the_divergence_in_each_reduction(given: bool) -> None:
    p, q = logits(1), logits(2)
    weights = logits(3).detach().exp() if given else None  # of any sum
    w = log_p(p).exp().detach() if weights is None else weights
    for found, expected in (
        (lambda how: weighted_squared_error(p, q, weights, how), wmse(p, q, w)),
        (lambda how: soft_cross_entropy(p, q, how), sce(p, q)),
    ):
        torch.testing.assert_close(found("batchmean"), expected.mean(), **EXACT)
        torch.testing.assert_close(found("sum"), expected.sum(), **EXACT)
        torch.testing.assert_close(found("none"), expected, **EXACT)
        for mine, theirs in zip(
            torch.autograd.grad(found("sum"), (p, q), allow_unused=True),
            torch.autograd.grad(expected.sum(), (p, q), allow_unused=True),
            strict=True,
        ):
            assert (mine is None) == (theirs is None)
            if mine is not None:
                torch.testing.assert_close(mine, theirs, **EXACT)


def test_the_squared_error_of_far_logits_keeps_its_digits() -> None:
    """It is one of differences, so what all logits have in common is to cost no digit."""
    p, q = logits(1).detach().float(), logits(2).detach().float()
    near, far = weighted_squared_error(p, q), weighted_squared_error(p + 1000, q)
    torch.testing.assert_close(far, near, rtol=1e-3, atol=0)
