"""What is tuned of a method, and what is refused."""

from __future__ import annotations

import math
from typing import Annotated, Any

import pytest
from support.synthetic import make_spec

from regmix_bench.errors import UserError
from regmix_bench.methods import METHODS
from regmix_bench.methods.configured import all_params, method_spec
from regmix_bench.methods.effects import Idle
from regmix_bench.specs import Recipe, RunSpec
from regmix_bench.tuning.budgets import parse_budget
from regmix_bench.tuning.space import Space
from regmix_bench.types import Frozen, Search


def spec_of(name: str, **recipe: Any) -> RunSpec:
    return make_spec(method=method_spec(name, {}), recipe=Recipe(**recipe))


def test_what_is_held_or_idle_is_not_tuned_and_the_recipe_is_where_it_is_asked_for() -> None:
    found = Space.of(spec_of("regmix"), held={"reset"}, include=["recipe.lr"])
    assert list(found.ranges) == ["regmix.alpha", "regmix.beta", "regmix.gamma", "recipe.lr"]
    assert found.start == {
        "regmix.alpha": 2.0,
        "regmix.beta": 1.0,
        "regmix.gamma": 1.0,
        "recipe.lr": 0.1,
    }
    averaged = Space.of(spec_of("fgsm-pgk", ema_decay=0.99))
    assert "fgsm-pgk.ratio_threshold" not in averaged.ranges
    assert "fgsm-pgk.ratio_threshold" in Space.of(spec_of("fgsm-pgk")).ranges


def test_values_make_the_run_that_set_would_make() -> None:
    space = Space.of(spec_of("regmix"), include=["recipe.lr"])
    run = space.run({"regmix.alpha": 3.0, "recipe.lr": 0.5}, seed=7)
    assert (run.recipe.lr, run.seed) == (0.5, 7)
    assert all_params(run.method)["alpha"] == 3.0 and run.label == "regmix[alpha=3]"
    same = space.run(space.start, space.spec.seed)
    assert same.run_id == space.spec.run_id


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("standard", {}, "standard has nothing to tune: declare a range at a field of its Config"),
        ("fgsm-rs", {"held": {"step_ratio"}}, "what declares a range is held"),
        ("regmix", {"include": ["recipe.epochs"]}, "recipe.epochs: it declares no range"),
        ("regmix", {"include": ["recipe.rate"]}, "unknown --include field 'recipe.rate'"),
        ("regmix", {"include": ["lr"]}, "unknown --include field 'lr'"),
    ],
)
def test_nothing_to_tune_is_one_line(name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        Space.of(spec_of(name), **options)
    assert "\n" not in str(refused.value)


def test_a_method_with_nothing_of_its_own_is_tuned_by_the_recipe() -> None:
    assert list(Space.of(spec_of("standard"), include=["recipe.lr"]).ranges) == ["recipe.lr"]


@pytest.mark.parametrize(
    ("trials", "cost", "equal", "amount"),
    [
        (None, None, "trials", 20),
        (7, None, "trials", 7),
        (None, "90m", "seconds", 5400),
        (None, "1.5h", "seconds", 5400),
        (None, "2e9", "passes", 2e9),
        (None, "3,000,000", "passes", 3e6),
    ],
)
def test_budgets(trials: int | None, cost: str | None, equal: str, amount: float) -> None:
    found = parse_budget(trials, cost)
    assert (found.equal, found.amount) == (equal, amount)


@pytest.mark.parametrize(
    ("trials", "cost"),
    [
        *((0, None), (-2, None), (10**16, None), (5, "90m")),
        *((None, c) for c in ("", "0", "soon", "1e99", "1e11d", "2w", ".")),
    ],
)
def test_a_budget_that_is_none_is_refused(trials: int | None, cost: str | None) -> None:
    with pytest.raises(UserError, match=r"--(trials|budget)"):
        parse_budget(trials, cost)


@pytest.mark.parametrize(
    ("low", "high", "options"),
    [
        (0, 1, {"log": True}),
        (20, 1, {}),
        (1, 1, {}),
        (1, math.inf, {}),
        (math.nan, 1, {}),
        (0.4, 9, {"log": True, "whole": True}),
        (1.1, 1.4, {"whole": True}),
    ],
)
def test_a_range_that_cannot_be_searched_is_no_range(
    low: float, high: float, options: dict[str, bool]
) -> None:
    with pytest.raises(ValueError, match=r"Search\("):
        Search(low, high, **options)


def test_a_parameter_that_is_no_number_is_not_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    class Config(Frozen):
        scale: Annotated[float | None, Search(0.1, 10, log=True)] = None

    monkeypatch.setattr(METHODS["standard"], "Config", Config)
    with pytest.raises(UserError, match=r"standard\.scale = None is no number"):
        Space.of(spec_of("standard"))


def test_what_other_values_leave_without_effect_is_at_its_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    no_steps = Idle("steps is 0", lambda config, *_: config.steps == 0)

    class Config(Frozen):
        steps: Annotated[int, Search(0, 5)] = 1
        decay: Annotated[float, Search(0.1, 0.9), no_steps] = 0.5

    monkeypatch.setattr(METHODS["standard"], "Config", Config)
    space = Space.of(spec_of("standard"))
    values = {"standard.steps": 0, "standard.decay": 0.7}
    assert all_params(space.run(values, 0).method) == {"steps": 0, "decay": 0.5}
    assert all_params(space.run(values | {"standard.steps": 2}, 0).method)["decay"] == 0.7
