"""The optimiser of a recipe, and the learning rate over a training."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from regmix_bench.analysis.words import recipe_words
from regmix_bench.errors import UserError, validated
from regmix_bench.grid.plan import plan
from regmix_bench.records.paths import record_path
from regmix_bench.records.store import load_record
from regmix_bench.runs.runner import run_spec
from regmix_bench.specs import Recipe
from regmix_bench.training.optim import load_optimizer, make_optimizer, make_schedule


def test_adamw_is_trained_with_and_is_another_run(tmp_path: Path) -> None:
    grid = {
        "methods": ["standard"],
        "eps": ["32/255"],
        "eval_eps": ["8/255"],
        "data": {"eval_examples": 100},
        "scoring": {"autoattack_version": "custom", "attacks": ["apgd-ce"]},
        "recipe": {"epochs": 3, "lr": 0.01},
    }
    said, adamw = ({**grid, "recipe": grid["recipe"] | {"optimizer": x}} for x in ("sgd", "adamw"))
    (plain,), (sgd,), (spec,) = (plan([each], device="cpu") for each in (grid, said, adamw))
    assert plain.run_id == sgd.run_id != spec.run_id
    record = run_spec(spec, tmp_path, device="cpu")
    assert record.evaluations[0].clean_acc > 0.8
    assert load_record(record_path(tmp_path, spec)).spec.recipe.optimizer == "adamw"
    assert "AdamW with β₁ 0.9" in recipe_words(record.spec.recipe)
    assert "SGD with momentum 0.9" in recipe_words(sgd.recipe)


def test_nesterov_is_refused_with_adamw() -> None:
    with pytest.raises(UserError, match="nesterov is a form of sgd, not of adamw"):
        validated(Recipe, {"optimizer": "adamw", "nesterov": True}, "recipe")
    with pytest.raises(UserError, match=r"recipe.optimizer = 'adam': .*'sgd' or 'adamw'"):
        validated(Recipe, {"optimizer": "adam"}, "recipe")


@pytest.mark.parametrize("cuda", [True, False])
def test_a_saved_state_gets_the_kernels_of_this_machine(cuda: bool) -> None:
    weights = [nn.Parameter(torch.ones(2, 3, 4, 4))]
    optimizer = make_optimizer(weights, Recipe(optimizer="adamw"), torch.device("cpu"))
    weights[0].grad = torch.ones_like(weights[0])
    optimizer.step()
    state = optimizer.state_dict()
    state["param_groups"][0]["fused"] = cuda  # as where it was saved
    other = make_optimizer(weights, Recipe(optimizer="adamw"), torch.device("cpu"))
    load_optimizer(other, state)
    assert other.param_groups[0]["fused"] is False
    assert torch.equal(other.state[weights[0]]["exp_avg"], state["state"][0]["exp_avg"])


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
