"""The optimiser of a recipe, and the learning rate over a training."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from regmix_bench.specs import Recipe
from regmix_bench.training.optim import make_optimizer, make_schedule


@pytest.mark.parametrize(
    ("epochs", "first", "second"), [(30, 27, 29), (50, 45, 48), (110, 100, 105), (120, 109, 115)]
)
@pytest.mark.parametrize("steps", [1, 7])
def test_multistep_drops_at_whole_epochs(epochs: int, first: int, second: int, steps: int) -> None:
    rates = learning_rates(Recipe(epochs=epochs, schedule="multistep"), steps)
    expected = [0.1] * first + [0.01] * (second - first) + [0.001] * (epochs - second)
    assert rates[::steps] == pytest.approx(expected)
    assert len({round(rate, 9) for rate in rates[: first * steps]}) == 1


def learning_rates(recipe: Recipe, steps: int) -> list[float]:
    optimizer = make_optimizer([nn.Parameter(torch.zeros(1))], recipe, torch.device("cpu"))
    scheduler = make_schedule(optimizer, recipe, steps)
    rates = []
    for _ in range(recipe.epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_falls_along_half_a_wave() -> None:
    rates = learning_rates(Recipe(epochs=5, lr=0.2, schedule="cosine"), steps=4)
    expected = [0.1 * (1 + math.cos(math.pi * step / 20)) for step in range(20)]
    assert rates == pytest.approx(expected)


def test_onecycle_rises_to_the_rate_and_ends_near_zero() -> None:
    rates = learning_rates(Recipe(epochs=5, lr=0.2, schedule="onecycle"), steps=4)
    peak = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.2)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[0] < 0.01 and rates[-1] < 1e-4
