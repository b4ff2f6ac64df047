"""What the packaged suites promise of the runs that they plan."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import entry_points

import pytest

from regmix_bench.grid.plan import plan_runs
from regmix_bench.grid.suite_files import load_suite
from regmix_bench.records.tricks import tricks_of
from regmix_bench.specs import RunSpec
from regmix_bench.specs.tricks import Tricks

MATCHED = ("matched-digits", "matched-cifar10", "matched-cifar10-30")


def planned(suite: str) -> list[RunSpec]:
    return [run.spec for run in plan_runs(load_suite(suite), device="cpu")]


def ours() -> set[str]:
    """The methods that come with the package."""
    found = entry_points(group="regmix_bench.methods")
    return {e.name for e in found if e.value.startswith(("regmix_bench.", "regmix_baselines."))}


@pytest.mark.parametrize("suite", MATCHED)
def test_a_matched_suite_has_every_method_with_the_same_tricks(suite: str) -> None:
    specs = planned(suite)
    methods = {spec.method.name for spec in specs}
    assert methods == ours() - ({"standard"} if "cifar10" in suite else set())
    decay = 0.98 if suite == "matched-digits" else 0.998
    assert {tricks_of(spec) for spec in specs} == {Tricks(true_class_mass=0.6, average=decay)}
    assert {run.reference for run in plan_runs(load_suite(suite), device="cpu")} == {"pgd-at"}


def test_matched_digits_has_six_seeds_and_three_and_more_of_the_reference() -> None:
    counts = Counter(
        (str(s.train_threat.epsilon), s.method.label) for s in planned("matched-digits")
    )
    for (epsilon, label), seeds in counts.items():
        assert seeds == (3 if epsilon == "48/255" else 12 if label == "pgd-at" else 6)


def test_the_ablation_has_four_methods_with_none_each_and_all_tricks() -> None:
    mass, average, awp = 0.6, 0.98, 0.005
    given = [
        Tricks(),
        Tricks(true_class_mass=mass),
        Tricks(average=average),
        Tricks(awp_gamma=awp),
        Tricks(true_class_mass=mass, average=average, awp_gamma=awp),
    ]
    found = Counter((spec.method.name, tricks_of(spec)) for spec in planned("ablation-tricks"))
    methods = ("pgd-at", "trades", "fgsm-pgi", "regmix")
    assert found == {(method, tricks): 3 for method in methods for tricks in given}
    digits = {spec.run_id for spec in planned("digits")}
    again = {spec.run_id for spec in planned("ablation-tricks")} & digits
    assert len(again) == 12  # what is recorded already as the authors have it


def test_matched_digits_differs_from_digits_in_its_tricks_alone() -> None:
    recipes = {
        suite: {
            spec.recipe.model_copy(update={"true_class_mass": "method", "ema_decay": "method"})
            for spec in planned(suite)
        }
        for suite in ("digits", "matched-digits")
    }
    assert recipes["digits"] == recipes["matched-digits"]


def test_union_digits_trains_as_matched_digits_does_and_is_scored_under_three_norms() -> None:
    specs = planned("union-digits")
    assert {s.training_id for s in specs} <= {s.training_id for s in planned("matched-digits")}
    assert {tuple(t.norm for t in s.eval_threats) for s in specs} == {("Linf", "L2", "L1")}
    assert set(Counter(s.method.label for s in specs).values()) == {6}


def test_the_benchmark_of_others_is_planned_as_its_code_runs_it() -> None:
    specs = planned("fastat-cifar10")
    assert {spec.seed for spec in specs} == {0, 1, 2}
    assert {spec.eval_examples for spec in specs} == {None}  # all of them
    said = {(s.recipe.epochs, s.recipe.schedule, s.recipe.schedule_step) for s in specs}
    assert said == {(100, "onecycle", "epoch")} and all(s.recipe.cycle_momentum for s in specs)
    masses = {(s.method.name, tricks_of(s).true_class_mass) for s in specs}
    assert {name for name, mass in masses if mass == 0.4} == {"fgsm-pco", "liet"}
    assert {name for name, mass in masses if mass == 1} == {"rs-aaer", "n-aaer"}
    assert {mass for _, mass in masses} == {0.4, 0.64, 1}
    raw = {(s.method.name, s.recipe.selection) for s in specs if tricks_of(s).average is None}
    assert raw == {("pgd-at", "last")}
