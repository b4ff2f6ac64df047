"""The prior of FGSM-MEP, against its recursion; its methods against a training loop of formulas."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.prior_loop import CIFAR100, DECAY, LR, MOMENTUM, SIDE, Trained, network, train
from support.tricks import smoothed_method
from torch import Tensor

from regmix_bench.data.batches import Batches
from regmix_bench.methods.prior import Prior
from regmix_bench.types import Batch, ThreatModel


def visit(prior: Prior, batch: Batch, gradient: Tensor, seed: int, weight: float = 1.0) -> Tensor:
    threat = ThreatModel("Linf", "1/8")
    delta = prior.initial(batch, threat, torch.Generator().manual_seed(seed))
    prior.update(batch, delta, gradient, threat, weight)
    return delta


def normal(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 1, 2, 2, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("clip_start", [False, True])
def test_the_prior_follows_its_recursion_and_starts_again(clip_start: bool) -> None:
    epsilon = 0.125
    index = torch.tensor([4, 0, 2])
    # Sixty-fourths are exact in float32, in which the prior is kept.
    x = torch.randint(0, 65, (3, 1, 2, 2), generator=torch.Generator().manual_seed(0)) / 64
    batch = Batch(x.double(), torch.zeros(3, dtype=torch.int64), index)
    prior = Prior(5, (1, 2, 2), torch.device("cpu"), reset=3, clip_start=clip_start)

    def feasible(delta: Tensor) -> Tensor:
        return (batch.x + delta.clamp(-epsilon, epsilon)).clamp(0, 1) - batch.x

    delta = momentum = torch.zeros_like(batch.x)
    for epoch in range(1, 8):
        prior.on_epoch_start(epoch)
        if epoch in (1, 4, 7):  # a reset every third epoch
            noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(epoch)) - 0.5
            delta = epsilon * noise.double().sign()
            delta = feasible(delta) if clip_start else delta
            momentum = torch.zeros_like(momentum)
        gradient, weight = normal(100 + epoch), 0.5 + 0.25 * epoch
        seen = visit(prior, batch, gradient, epoch, weight)
        assert torch.equal(seen, delta), epoch
        # ‖g‖₁ runs over the whole batch, not over one image.
        momentum = weight * gradient / gradient.abs().sum() + 0.3 * momentum
        delta = feasible(delta + epsilon * momentum.sign())
        torch.testing.assert_close(prior.momentum[index].double(), momentum, rtol=1e-6, atol=0)
        assert torch.equal(prior.delta[index].double(), delta), epoch
    assert not prior.momentum[torch.tensor([1, 3])].any()


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("clip_start", [False, True])
def test_an_image_that_is_left_out_of_a_reset_epoch_starts_again_at_its_next_visit(
    clip_start: bool, compact: bool
) -> None:
    def prior_of(seed: int) -> Prior:
        return Prior(3, (1, 2, 2), torch.device("cpu"), 2, clip_start, compact=compact, seed=seed)

    x, y = torch.full((3, 1, 2, 2), 0.0625), torch.zeros(3, dtype=torch.int64)
    whole, kept = Batch(x, y, torch.arange(3)), torch.tensor([0, 2])
    starts = []
    for seed in (0, 1):
        prior = prior_of(seed)
        for epoch in (1, 2):
            prior.on_epoch_start(epoch)
            visit(prior, whole, normal(epoch).float(), epoch)
        assert prior.momentum.abs().amin((1, 2, 3)).min() > 0
        prior.on_epoch_start(3)  # which resets, and leaves image 1 out
        gradient = normal(3)[kept].float()
        visit(prior, Batch(x[kept], y[kept], kept), gradient, 3)
        before = prior.delta[kept].clone(), prior.momentum[kept].clone()

        resumed = prior_of(seed)
        resumed.load_state_dict(prior.state_dict())
        for each in (prior, resumed):
            each.on_epoch_start(4)
            delta = each.initial(whole, ThreatModel("Linf", "1/8"), torch.Generator())
            low = -0.0625 if clip_start else -0.125
            assert set(delta[1].flatten().tolist()) <= {low, 0.125}
            assert torch.equal(delta[kept], before[0].to(delta.dtype))
            assert not each.momentum[1].any() and torch.equal(each.momentum[kept], before[1])
        starts.append(delta[1])
        # The same signs are drawn by a run that is resumed in the epoch that resets.
        again = prior_of(seed)
        again.on_epoch_start(3)
        assert torch.equal(again.delta[1], prior.delta[1])
    assert not torch.equal(*starts)


def test_the_starts_of_images_that_are_left_out_are_any_signs() -> None:
    prior = Prior(500, (1, 4, 4), torch.device("cpu"), 1)
    found = []
    for epoch in (1, 2):
        prior.on_epoch_start(epoch)
        found.append(prior.delta.clone())
        assert bool((prior.delta.abs() == 1).all())
        assert abs(prior.delta.mean().item()) < 5 / 8000**0.5
    assert abs((found[0] * found[1]).mean().item()) < 5 / 8000**0.5


@pytest.mark.parametrize("pixel", [0.0, 1.0])
@pytest.mark.parametrize("clip_start", [False, True])
def test_a_start_is_clipped_to_valid_pixels_only_where_asked(
    pixel: float, clip_start: bool
) -> None:
    prior = Prior(3, (1, 2, 2), torch.device("cpu"), reset=9, clip_start=clip_start)
    index, y = torch.arange(3), torch.zeros(3, dtype=torch.int64)
    saturated = torch.full((3, 1, 2, 2), pixel, dtype=torch.float64)
    prior.on_epoch_start(1)
    fresh = prior.initial(
        Batch(saturated, y, index), ThreatModel("Linf", "1/8"), torch.Generator().manual_seed(0)
    )
    assert bool((fresh.abs() == 0.125).all()) is not clip_start
    visit(prior, Batch(torch.full((3, 1, 2, 2), 0.5).double(), y, index), normal(0), 0)
    prior.on_epoch_start(2)
    # The image comes again under another crop, which has padded all of it.
    delta = visit(prior, Batch(saturated, y, index), normal(1), 1)
    leaves = (delta > 0) if pixel == 1 else (delta < 0)
    assert bool(leaves.any()) is not clip_start
    assert delta.any() and delta.abs().max() <= 0.125
    # What is stored for the next visit is valid in any case.
    stored = saturated + prior.delta
    assert stored.min() >= 0 and stored.max() <= 1


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
    priors = [
        Prior(size, (3, 8, 8), torch.device("cpu"), 9, compact=compact) for compact in (False, True)
    ]
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


# Whole trainings

EPSILON, IMAGES, EPOCHS, RESET = 0.125, 50, 8, 3
EXACT = {"rtol": 0.0, "atol": 1e-10}


def batches() -> list[list[Batch]]:
    """Epochs of cropped and mirrored batches, in which zeros pad images that hold none."""
    draws = torch.Generator().manual_seed(5)
    # Parts of 64, as ε is: exact in float32, in which the prior is kept.
    images = torch.randint(1, 65, (IMAGES, 1, SIDE, SIDE), generator=draws).float() / 64
    images[:, :, 2:5] = 1.0
    labels = torch.randint(4, (IMAGES,), generator=draws)
    source = Batches(images, labels, batch_size=20, augmentation="crop-flip")
    epochs = [list(source.epoch(draws)) for _ in range(EPOCHS)]
    return [[replace(batch, x=batch.x.double()) for batch in epoch] for epoch in epochs]


def trained(name: str, config: dict[str, Any], epochs: list[list[Batch]]) -> Trained:
    """Train by the package's method and torch's optimiser."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=MOMENTUM, weight_decay=DECAY)
    params = {key: value for key, value in config.items() if key != "true_class_mass"}
    method = smoothed_method(name, config["true_class_mass"], **params)
    method.setup(IMAGES, (1, SIDE, SIDE), torch.device("cpu"))
    noise, losses = torch.Generator().manual_seed(11), []
    for epoch, batches in enumerate(epochs, start=1):
        method.on_epoch_start(epoch)
        for batch in batches:
            output = method.step(model, batch, ThreatModel("Linf", EPSILON), noise)
            optimizer.zero_grad()
            output.loss.backward()
            optimizer.step()
            method.after_update(model)
            losses.append(output.loss.item())
    averaged = method.evaluated_model(model).state_dict() if name == "fgsm-pgk" else {}
    return Trained(model.state_dict(), averaged, method.prior.delta.double(), losses)


REGMIX = {"alpha": 3.0, "beta": 0.5, "gamma": 1.5}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("fgsm-pgi", {"lambda_": 4.0}),
    ("fgsm-pgk", {"lambda_": 4.0}),
    # Its threshold of 0.9 is out of reach for so small a batch.
    ("fgsm-pgk", {"lambda_": 1.0, **CIFAR100, "ratio_threshold": 0.6}),
    ("fgsm-pgk", {"lambda_": 1.0, "gradient_weight": 1.5, "weak_ema_decay": 0.7, "ema_warmup": 2}),
    ("regmix", REGMIX),
    ("regmix", {**REGMIX, "momentum_decay": 0.6}),
    ("regmix-amr", {**REGMIX, "gamma": 0.0}),
    ("regmix-agr", {**REGMIX, "alpha": 0.0, "beta": 0.0}),
]


@pytest.mark.parametrize("clip_start", [False, True])
@pytest.mark.parametrize(("name", "weights"), CASES)
def test_training_agrees_with_a_loop_of_the_formulas(
    name: str, weights: dict[str, float], clip_start: bool
) -> None:
    config = {"reset": RESET, "true_class_mass": 0.6, "clip_start": clip_start, **weights}
    epochs = batches()
    noise = torch.Generator().manual_seed(11)
    expected = train(name, config, epochs, IMAGES, EPSILON, noise)
    found = trained(name, config, epochs)

    torch.testing.assert_close(found.losses, expected.losses, **EXACT)
    for key, value in expected.state.items():
        torch.testing.assert_close(found.state[key], value, **EXACT)
    for key, value in expected.average.items():
        torch.testing.assert_close(found.average[key], value, **EXACT)
    torch.testing.assert_close(found.delta, expected.delta, **EXACT)

    # Not for want of what could go wrong.
    assert (expected.below > 0) is not clip_start
    assert expected.losses[-1] < expected.losses[0]
    if name == "fgsm-pgk":
        assert min(expected.ratios) < config.get("ratio_threshold", 0.82) <= max(expected.ratios)
        assert not torch.equal(expected.average["4.weight"], expected.state["4.weight"])
