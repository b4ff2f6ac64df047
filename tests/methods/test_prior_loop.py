"""The prior-guided methods against a training loop of their formulas, over epochs with resets."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from support.prior_loop import DECAY, LR, MOMENTUM, SIDE, Trained, network, train

from regmix_bench.data.batches import Batches
from regmix_bench.methods import load_method
from regmix_bench.types import Batch, ThreatModel

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
    method = load_method(name, **config)
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
    ("regmix", REGMIX),
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
        assert min(expected.ratios) < 0.82 <= max(expected.ratios)
        assert not torch.equal(expected.average["4.weight"], expected.state["4.weight"])
