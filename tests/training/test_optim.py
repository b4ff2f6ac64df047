"""The optimiser of a recipe, and the learning rate over a training."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import OneCycleLR

from regmix_bench.analysis.words import recipe_words
from regmix_bench.data import prepare
from regmix_bench.errors import UserError, validated
from regmix_bench.grid.plan import plan
from regmix_bench.methods import load_method
from regmix_bench.models import build_model
from regmix_bench.records.paths import record_path
from regmix_bench.records.store import load_record
from regmix_bench.runs.runner import run_spec
from regmix_bench.specs import Recipe
from regmix_bench.system.machine import Execution
from regmix_bench.training.optim import load_optimizer, make_optimizer, make_schedule
from regmix_bench.training.trainer import Trainer


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


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(("step", "calls"), [("batch", 4), ("epoch", 1)])
@pytest.mark.parametrize("cycles", [False, True])
def test_one_cycle_is_that_of_torch(cycles: bool, step: Any, calls: int, optimizer: Any) -> None:
    recipe = Recipe(
        **{"epochs": 5, "lr": 0.2, "momentum": 0.7, "schedule": "onecycle", "optimizer": optimizer},
        **{"schedule_step": step, "cycle_momentum": cycles},
    )
    ours = make_optimizer([nn.Parameter(torch.zeros(1))], recipe, torch.device("cpu"))
    scheduler = make_schedule(ours, recipe, 4)
    theirs = SGD([nn.Parameter(torch.zeros(1))], 0.1, momentum=0.7)
    torchs = OneCycleLR(theirs, 0.2, 5 * calls, cycle_momentum=cycles)
    seen = []
    for _ in range(5 * calls):
        (group,), (expected,) = ours.param_groups, theirs.param_groups
        momentum = group["betas"][0] if optimizer == "adamw" else group["momentum"]
        assert (group["lr"], momentum) == (expected["lr"], expected["momentum"])
        seen.append((group["lr"], momentum))
        for moved in (ours, theirs, scheduler, torchs):
            moved.step()
    (first, momentum), (last, _) = seen[0], seen[-1]
    assert first == pytest.approx(0.2 / 25) and last == pytest.approx(0.2 / 25 / 1e4)
    assert momentum == (0.95 if cycles else 0.7)
    assert min(m for _, m in seen) == pytest.approx(0.85 if cycles else 0.7, abs=0.005)


def test_fastat_s_cycle_by_epochs() -> None:
    # As their code was seen to run: 100 epochs, 0.1.
    recipe = Recipe(epochs=100, schedule="onecycle", schedule_step="epoch", cycle_momentum=True)
    rates = [round(rate, 10) for rate in learning_rates(recipe, steps=1)]
    assert [rates[epoch] for epoch in (0, 29, 99)] == pytest.approx([0.004, 0.1, 4e-7])
    assert rates[10] == pytest.approx(0.0295, abs=5e-5)
    assert rates[49] == pytest.approx(0.0812, abs=5e-5)
    assert rates[98] == pytest.approx(5e-5, rel=0.1)


@pytest.mark.parametrize(
    ("recipe", "last"),
    [
        ({"schedule": "multistep", "milestones": (0.5, 0.75)}, 0.001),
        ({"schedule": "cosine"}, 0.05 * (1 + math.cos(math.pi * 23 / 24))),
        ({"schedule": "cosine", "schedule_step": "epoch"}, 0.05 * (1 + math.cos(math.pi * 5 / 6))),
        ({"schedule": "onecycle"}, 4e-7),
        ({"schedule": "onecycle", "schedule_step": "epoch"}, 4e-7),
    ],
)
def test_the_last_step_has_the_last_rate(tmp_path: Path, recipe: Any, last: float) -> None:
    data = {"train_examples": 120}
    shared = {"epochs": 6, "batch_size": 27, "augmentation": "none", "precision": "fp32"}
    grid = {"methods": ["standard"], "eps": ["8/255"], "data": data, "recipe": shared | recipe}
    (spec,) = plan([grid], device="cpu")
    ready = prepare(spec, torch.device("cpu"))
    model = build_model(spec.arch, ready.test.image_shape, 10)
    trainer = Trainer(
        spec, ready, model, load_method("standard"), tmp_path, torch.device("cpu"), Execution()
    )
    rates: list[float] = []
    group = trainer.optimizer.param_groups[0]
    trainer.optimizer.register_step_pre_hook(lambda *_: rates.append(group["lr"]))
    trainer.run()
    assert len(rates) == 24 and rates[-1] == pytest.approx(last)
    each = {tuple(rates[start : start + 4]) for start in range(0, 24, 4)}
    assert all(len(set(epoch)) == 1 for epoch in each) == (
        recipe.get("schedule_step") == "epoch" or recipe["schedule"] == "multistep"
    )
    assert [log.lr for log in trainer.progress.history] == rates[::4]


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
