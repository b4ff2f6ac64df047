"""From suite files and flags to specifications, and every way in which they can be wrong."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regmix_bench.data import canonical_name
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan, plan_runs
from regmix_bench.grid.suite_files import load_suite, packaged_suites
from regmix_bench.methods import METHODS, register_method
from regmix_bench.methods.configured import all_params
from regmix_bench.methods.declarations import true_class_mass
from regmix_bench.methods.protocol import Method
from regmix_bench.specs import RunSpec

GRID: dict[str, Any] = {"methods": ["trades"], "eps": ["8/255"]}


def specs(
    *sets: str,
    flags: dict[str, Any] | None = None,
    grids: list[dict[str, Any]] | None = None,
    **grid,
) -> tuple[RunSpec, ...]:
    return plan(grids or [GRID | grid], flags or {}, sets, canonical_name)


def refusal(*sets: str, **grid: Any) -> str:
    with pytest.raises(UserError) as error:
        specs(*sets, **grid)
    (line,) = str(error.value).splitlines()
    return line


def labels(*sets: str, **grid: Any) -> list[str]:
    return [spec.method.label for spec in specs(*sets, **grid)]


def test_a_grid_is_the_product_of_its_axes() -> None:
    planned = specs(
        methods=["trades", "pgd-at"],
        datasets=["digits", "cifar10"],
        archs=["smallcnn", "resnet8"],
        eps=["8/255", "0.1"],
        seeds=[0, 1, 2],
        eval_eps=["4/255", "8/255"],
    )
    axes = {
        (s.method.name, s.dataset, s.arch, str(s.train_threat.epsilon), s.seed) for s in planned
    }
    assert len(planned) == len(axes) == len({s.run_id for s in planned}) == 48
    assert {tuple(str(t.epsilon) for t in s.eval_threats) for s in planned} == {("4/255", "8/255")}


def test_scores_at_the_training_budget_unless_told() -> None:
    planned = specs(eps=["8/255", "16/255"])
    assert [s.eval_threats for s in planned] == [(s.train_threat,) for s in planned]


def test_threats_may_be_of_several_norms_and_go_by_an_older_name() -> None:
    named = {"eps": ["2"], "norm": "L1", "methods": ["pgd-at"]}
    (spec,) = specs(**named, threats=["1", "Linf:8/255", "L2:0..0.5:3"])
    threats = ["L1 1", "Linf 8/255", "L2 0.25", "L2 0.5"]
    assert [str(threat) for threat in spec.eval_threats] == threats
    older = specs(grids=[{**named, "threats": ["3"]}], flags={"eval_eps": ["Linf:8/255", 2]})
    assert [str(threat) for threat in older[0].eval_threats] == ["Linf 8/255", "L1 2"]
    with pytest.raises(UserError, match="eval_eps is another name"):
        specs(**named, threats=["1"], eval_eps=["1"])


def test_budgets_equal_by_value_are_scored_once() -> None:
    (spec,) = specs(eval_eps=["12/255", "4/85", "8/255"])
    assert [str(t.epsilon) for t in spec.eval_threats] == ["12/255", "8/255"]


@pytest.mark.parametrize("suite", packaged_suites())
def test_every_packaged_suite_is_planned(suite: str) -> None:
    planned = specs(grids=load_suite(suite))
    assert len(planned) >= 2


def test_the_digits_suite_is_the_promised_table() -> None:
    planned = specs(grids=load_suite("digits"))
    assert len({s.method.name for s in planned}) == 11
    assert {s.method.label for s in planned} >= {
        "fgsm-pgi",
        "fgsm-pgi[lambda_=1]",
        "fgsm-pgi[lambda_=3]",
    }
    assert {str(s.train_threat.epsilon) for s in planned} == {"32/255", "48/255"}
    assert {s.seed for s in planned} == set(range(6))
    assert len(planned) == 13 * 2 * 6


def test_more_seeds_of_the_reference_join_the_rows_of_the_suite() -> None:
    suite, more = (plan_runs(load_suite(name)) for name in ("digits", "digits-reference"))
    assert {run.reference for run in (*suite, *more)} == {"pgd-at"}
    of_pgd_at = {run.spec.group_id for run in suite if run.spec.label == "pgd-at"}
    assert {run.spec.group_id for run in more} == of_pgd_at
    assert not {run.spec.run_id for run in suite} & {run.spec.run_id for run in more}


def test_the_reference_is_the_first_method_or_the_one_that_is_named() -> None:
    grid = {"methods": ["trades[beta=3]", "mart"], "eps": ["8/255"]}
    assert {run.reference for run in plan_runs([grid])} == {"trades[beta=3]"}
    named = plan_runs([grid | {"reference": "pgd-at"}])
    assert {run.reference for run in named} == {"pgd-at"}
    assert {run.reference for run in plan_runs([grid], {"reference": "mart"})} == {"mart"}
    assert [run.spec.run_id for run in named] == [spec.run_id for spec in plan([grid])]
    with pytest.raises(UserError, match="'mrt'"):
        plan([grid | {"reference": "mrt"}])


def test_attacks_of_ones_own_are_another_scoring() -> None:
    grid = {"methods": ["mart"], "eps": ["8/255"], "scoring": {"autoattack_batch_size": 100}}
    flags = {"scoring": {"autoattack_version": "custom", "attacks": ["apgd-ce", "square"]}}
    (spec,) = plan([grid], flags)
    assert spec.scoring.attacks == ("apgd-ce", "square")
    assert spec.scoring.autoattack_batch_size == 100
    for scoring in (
        {"autoattack_version": "custom"},
        {"attacks": ["square"]},
        {"autoattack_version": "custom", "attacks": ["square", "square"]},
    ):
        with pytest.raises(UserError, match="scoring"):
            plan([grid], {"scoring": scoring})


def test_each_grid_of_a_suite_merges_its_own_recipe_over_the_shared() -> None:
    recipes = {s.method.name: s.recipe for s in specs(grids=load_suite("authors-cifar10"))}
    assert (recipes["mart"].lr, recipes["mart"].weight_decay) == (0.01, 3.5e-3)
    assert (recipes["trades"].lr, recipes["trades"].weight_decay) == (0.1, 2e-4)
    assert {recipe.batch_size for recipe in recipes.values()} == {128}


def test_trades_and_mart_train_at_their_authors_budget_and_are_scored_as_all_are() -> None:
    planned = specs(grids=load_suite("authors-cifar10"))
    trained = {s.method.name: str(s.train_threat) for s in planned}
    assert {name for name, threat in trained.items() if threat == "Linf 0.031"} == {
        "trades",
        "mart",
    }
    assert {str(t) for s in planned for t in s.eval_threats} == {"Linf 8/255"}
    for spec in planned:
        if spec.method.name in ("trades", "mart"):
            step = spec.method.params["step_ratio"] * float(spec.train_threat.epsilon)
            assert step == pytest.approx(0.007, abs=2e-8)


def test_the_l2_suite_starts_steps_and_projects_as_the_authors() -> None:
    rice, zhang = specs(grids=load_suite("authors-cifar10-l2"))
    assert {str(s.train_threat) for s in (rice, zhang)} == {"L2 128/255"}
    assert rice.method.params["start"] == "radial"
    assert rice.method.params["step_ratio"] * 128 / 255 == 15 / 255
    assert zhang.method.params["pixels_first"]
    assert zhang.method.params["step_ratio"] == 2 / zhang.method.params["steps"]


@pytest.mark.parametrize("suite", ["authors-cifar100", "authors-tiny-imagenet"])
def test_prior_guided_methods_have_the_constants_of_their_data_set(suite: str) -> None:
    params = {s.method.name: all_params(s.method) for s in specs(grids=load_suite(suite))}
    assert params["fgsm-pgi"]["reset"] == params["regmix"]["reset"] == 10
    masses = {s.method.name: s.recipe.true_class_mass for s in specs(grids=load_suite(suite))}
    assert masses["fgsm-pgi"] == masses["regmix"] == "method" and masses["fgsm-pgk"] == 0.8
    expected = {
        **{"lambda_": 1, "reset": 40, "momentum_decay": 0.1},
        **{"ratio_threshold": 0.9, "ratio_offset": 1},
        "ema_below_threshold": suite == "authors-tiny-imagenet",
    }
    assert params["fgsm-pgk"].items() >= expected.items()


def test_the_paper_suite_shares_one_recipe_and_spares_autoattack_at_other_budgets() -> None:
    planned = specs(grids=load_suite("paper-cifar10"))
    assert {s.method.name for s in planned} >= {"pgd-at", "trades", "mart", "regmix", "regmix-pgd"}
    assert len({s.recipe for s in planned}) == 1
    (first, *_) = planned
    assert (first.arch, first.eval_examples, str(first.train_threat)) == (
        "resnet18",
        1000,
        "Linf 8/255",
    )
    assert list(map(str, first.eval_threats)) == ["Linf 8/255"]
    assert list(map(str, first.pgd_threats)) == ["Linf 4/255", "Linf 12/255", "Linf 16/255"]


def test_the_short_study_has_the_methods_of_the_long_one_and_one_recipe() -> None:
    planned = specs(grids=load_suite("cifar10-30"))
    longer = specs(grids=load_suite("paper-cifar10"))
    assert sorted(s.label for s in planned) == sorted([s.label for s in longer] + ["fgsm-rs"])
    (recipe,) = {s.recipe for s in planned}
    assert (recipe.epochs, recipe.schedule, recipe.batches) == (30, "onecycle", "equal")
    assert {(s.dataset, s.arch, s.eval_examples) for s in planned} == {
        ("cifar10", "resnet18", 1000)
    }
    masses = {s.label: true_class_mass(s) for s in planned}
    smoothed = {name: mass for name, mass in masses.items() if mass < 1}
    assert smoothed == {"regmix": 0.6, "fgsm-pgi": 0.6, "fgsm-pgk": 0.5}  # as the suite says


def test_a_budget_that_autoattack_sees_is_not_scored_twice() -> None:
    (spec,) = specs(eps=["8/255"], pgd_eps=["16/510", "4/255", "4/255"])
    assert list(map(str, spec.pgd_threats)) == ["Linf 4/255"]


def test_variants_are_rows_of_their_own() -> None:
    assert labels(methods=["fgsm-pgi[lambda_=1]", "fgsm-pgi[lambda_=3,reset=10]", "fgsm-pgi"]) == [
        "fgsm-pgi[lambda_=1]",
        "fgsm-pgi[lambda_=3,reset=10]",
        "fgsm-pgi",
    ]


def test_a_default_that_is_spelled_out_is_the_same_run() -> None:
    planned = specs(methods=["trades", "trades[beta=6]", " trades[ beta = 6.0 ] "])
    assert [s.method.label for s in planned] == ["trades"]


def test_labels_tell_close_values_apart() -> None:
    both = labels(methods=["trades[beta=3.0000001]", "trades[beta=3.0000002]", "trades[beta=3]"])
    assert both == ["trades[beta=3.0000001]", "trades[beta=3.0000002]", "trades[beta=3]"]


def test_settings_reach_parameters_recipe_and_scoring() -> None:
    (spec,) = specs("trades.beta=3", "recipe.lr=1e-3", "recipe.gradient_clip=2")
    assert spec.method.params["beta"] == 3
    assert spec.method.label == "trades[beta=3]"
    assert (spec.recipe.lr, spec.recipe.gradient_clip) == (0.001, 2)
    assert specs("recipe.gradient_clip=null")[0].recipe.gradient_clip is None


def test_brackets_win_over_params_and_settings_over_the_suites_params() -> None:
    grid = {"methods": ["trades", "trades[beta=2]"], "params": {"trades": {"beta": 4}}}
    assert labels(**grid) == ["trades[beta=4]", "trades[beta=2]"]
    assert labels("trades.beta=5", **grid) == ["trades[beta=5]", "trades[beta=2]"]


def test_a_setting_concerns_the_grids_that_use_its_method() -> None:
    planned = specs("trades.beta=3", grids=load_suite("authors-cifar10"))
    betas = {s.method.name: s.method.params.get("beta") for s in planned}
    assert (betas["trades"], betas["mart"]) == (3, 5)


def test_flags_replace_axes_and_merge_into_the_recipe() -> None:
    (spec,) = specs(
        flags={"methods": ["mart"], "seeds": ["4"], "recipe": {"epochs": 3}},
        recipe={"epochs": 9, "lr": 0.2},
        seeds=[0, 1],
    )
    assert (spec.method.name, spec.seed, spec.recipe.epochs, spec.recipe.lr) == ("mart", 4, 3, 0.2)


def test_a_dataset_brings_its_recipe_and_architecture() -> None:
    digits, cifar = specs(datasets=["digits", "cifar10"])
    assert (digits.arch, digits.recipe.epochs, digits.recipe.augmentation) == (
        "smallcnn",
        30,
        "none",
    )
    assert (cifar.arch, cifar.recipe.epochs) == ("preactresnet18", 110)
    assert cifar.recipe.augmentation == "crop-flip"
    assert specs(recipe={"augmentation": "crop"})[0].recipe.augmentation == "crop"


def test_unknown_classes_are_not_mirrored() -> None:
    def name(typed: str) -> str:
        return "folder-0123456789ab"

    (spec,) = plan([GRID | {"datasets": ["folder:/x"]}], {}, (), name)
    assert (spec.dataset, spec.recipe.augmentation) == ("folder-0123456789ab", "crop")


@pytest.mark.parametrize(
    ("cuda", "expected"),
    [
        (None, ("fp32", "fp32", "fp32")),
        ((7, 5), ("bf16", "fp32", "fp32")),
        ((8, 0), ("bf16", "bf16", "tf32")),
    ],
)
@pytest.mark.parametrize(
    "said",
    [
        (),
        (
            *("recipe.precision=auto", "recipe.validation_precision=auto"),
            "scoring.search_precision=auto",
        ),
    ],
)
def test_the_kind_of_device_alone_decides_a_precision_that_is_not_said(
    monkeypatch: pytest.MonkeyPatch, cuda: tuple[int, int] | None, expected: object, said: Any
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda is not None)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda *_: cuda)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda *_: "a card")

    def precisions(grid: dict[str, Any], **options: Any) -> tuple[str, str, str]:
        (spec,) = plan([grid], {}, said, canonical_name, **options)
        recipe = spec.recipe
        return recipe.precision, recipe.validation_precision, spec.scoring.search_precision

    assert precisions(GRID) == expected
    assert precisions(GRID, device="cpu") == ("fp32", "fp32", "fp32")
    said = ()
    other = {
        "recipe": {"precision": "bf16", "validation_precision": "tf32"},
        "scoring": {"search_precision": "bf16"},
    }
    assert precisions(GRID | other, device="cpu") == ("bf16", "tf32", "bf16")


def test_python_plans_the_runs_of_the_command_line() -> None:
    grid = {"methods": ["trades", "regmix"], "eps": ["8/255"], "seeds": [7]}
    assert [spec.run_id for spec in plan([grid], device="cpu")] == ["ab4b23ee7f75", "2442e20e77b3"]


def test_numbers_of_yaml_are_budgets_too() -> None:
    (spec,) = specs(eps=[0.031], eval_eps=[1])
    assert str(spec.train_threat.epsilon) == "0.031"
    assert spec.eval_threats[0].epsilon == 1


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"methods": ["tradess"]}, ["'tradess'", "did you mean 'trades'"]),
        ({"methods": ["trades[betta=1]"]}, ["'betta'", "did you mean 'beta'"]),
        ({"methods": ["trades[beta=-1]"]}, ["trades.beta = -1", "greater than or equal to 0"]),
        ({"methods": ["trades[beta=x]"]}, ["trades.beta = 'x'", "number"]),
        ({"methods": ["trades[beta]"]}, ["'beta' is not key=value"]),
        ({"methods": ["trades[beta=1"]}, ["'trades[beta=1'", "write it like"]),
        ({"methods": ["trades[beta=2001-13-45]"]}, ["trades.beta = '2001-13-45'"]),
        ({"methods": [""]}, ["method ''"]),
        ({"methods": []}, ["suite.methods", "too few values"]),
        ({"methods": "trades"}, ["suite.methods = 'trades'"]),
        ({"methods": None, "beta": 3}, ["key of suite 'beta'"]),
        ({"methods": [None]}, ["suite.methods.0"]),
        ({"methods": ["regmix-agr[alpha=1]"]}, ["regmix-agr.alpha = 1", "less than or equal to 0"]),
        ({"datasets": ["cifar11"]}, ["'cifar11'", "did you mean 'cifar10'"]),
        ({"datasets": ["npz:/no/such/file.npz"]}, ["/no/such/file.npz"]),
        ({"archs": ["resnet-18"]}, ["'resnet-18'", "did you mean 'resnet18'"]),
        ({"eps": ["8/0"]}, ["'8/0' is not a number"]),
        ({"eps": ["-8/255"]}, ["'-8/255' is not above zero"]),
        ({"eps": ["0"]}, ["'0' is not above zero"]),
        ({"eps": ["8"]}, ["8 is above 1", "8/255"]),
        ({"eps": ["eight"]}, ["'eight' is not a number"]),
        *(
            (grid | {"datasets": ["digits"], "methods": ["pgd-at"]}, [f"above {most:g}", "1×8×8"])
            for grid, most in (
                ({"norm": "L1", "eps": ["65"], "threats": ["Linf:8/255"]}, 64),
                ({"norm": "L2", "eps": ["9"]}, 8),
                ({"threats": ["L2:9"]}, 8),
                ({"pgd_eps": ["L1:65"]}, 64),
            )
        ),
        ({"eps": [float("nan")]}, ["'nan' is not a number"]),
        ({"eps": [True]}, ["suite.eps.0 = True"]),
        ({"eps": []}, ["suite.eps"]),
        ({"eval_eps": ["x"]}, ["'x' is not a number"]),
        ({"norm": "linf"}, ["unknown norm 'linf'", "'Linf'"]),
        ({"methods": ["regmix"], "norm": "L2"}, ["'regmix' is defined for Linf, not for L2"]),
        ({"seeds": [-1]}, ["-1", "greater than or equal to 0"]),
        ({"seeds": [2**63]}, ["suite.seeds.0", "less than"]),
        ({"seeds": ["one"]}, ["'one'", "integer"]),
        ({"seeds": [0.5]}, ["0.5", "integer"]),
        ({"seeds": []}, ["suite.seeds"]),
        ({"train_examples": 0}, ["suite.train_examples = 0"]),
        ({"eval_examples": -5}, ["suite.eval_examples = -5"]),
        ({"evaluate": "first"}, ["'first'", "'selected', 'last', 'both' or 'all'"]),
        ({"recipe": {"epoch": 3}}, ["'epoch'", "did you mean 'epochs'"]),
        ({"recipe": {"epochs": 0}}, ["recipe.epochs = 0"]),
        ({"recipe": {"epochs": True}}, ["recipe.epochs = True: input should be a number"]),
        ({"seeds": [3, True]}, ["suite.seeds = [3, True]: input should be a number"]),
        ({"params": {"trades": {"beta": True}}}, ["trades.beta = True: input should be a number"]),
        ({"recipe": {"lr": float("nan")}}, ["recipe.lr = nan"]),
        ({"recipe": {"milestones": [0.5, 1.5]}}, ["recipe.milestones.1 = 1.5"]),
        ({"recipe": {"ema_decay": 1}}, ["recipe.ema_decay = 1"]),
        ({"recipe": [1]}, ["suite.recipe is not a mapping"]),
        ({"recipe": {1: 2}}, ["suite.recipe.1"]),
        ({"params": {"mart": {"beta": 1}}}, ["method in params 'mart'", "trades"]),
        ({"params": {"trades": 3}}, ["'trades' is not a mapping"]),
        ({"params": {"trades": {"betta": 3}}}, ["'betta'", "did you mean 'beta'"]),
        ({"method": ["trades"]}, ["'method'", "did you mean 'methods'"]),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_in_one_line(grid: dict[str, Any], words: list[str]) -> None:
    message = refusal(**grid)
    assert len(message) < 300
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("trades.betta=3", ["'betta'", "did you mean 'beta'"]),
        ("recipe.learning=3", ["'learning'", "key of recipe"]),
        ("tradess.beta=3", ["--set key 'tradess'", "did you mean 'trades'"]),
        ("mart.beta=3", ["'mart'", "choose from trades"]),
        ("beta=3", ["'beta=3' is not like"]),
        ("trades.beta", ["'trades.beta' is not like"]),
        ("", ["is not like"]),
        ("trades.beta=", ["trades.beta = None"]),
        ("trades.beta=[1", ["'[1' cannot be read"]),
        ("trades.beta=" + "[" * 100_000, ["cannot be read"]),
        ("trades.beta=!!timestamp x", ["cannot be read"]),
        ("trades.beta=" + "9" * 5000, ["cannot be read"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_setting_that_does_not_fit_is_refused(setting: str, words: list[str]) -> None:
    message = refusal(setting)
    assert len(message) < 300
    for word in words:
        assert word in message


def test_what_the_authors_do_anyway_is_no_other_run() -> None:
    grid: dict[str, Any] = {"methods": ["fgsm-pgk", "fgsm-pgi", "trades"]}
    plain = specs(**grid)
    assert specs(**grid, recipe={"ema_decay": "none"})[1:] == plain[1:]
    for mass, same in ((0.5, [True, False, False]), (0.6, [False, True, False]), (1, [0, 0, 1])):
        found = specs(**grid, recipe={"true_class_mass": mass})
        assert [one == other for one, other in zip(found, plain, strict=True)] == same
        assert [one.run_id == other.run_id for one, other in zip(found, plain, strict=True)] == same
        assert {s.label for s in found} == {"fgsm-pgk", "fgsm-pgi", "trades"}


def test_the_average_of_the_recipe_takes_the_place_of_the_method_s() -> None:
    decays = ("none", 0.99, "method")
    found = [specs(methods=["fgsm-pgk"], recipe={"ema_decay": decay})[0].recipe for decay in decays]
    assert tuple(recipe.ema_decay for recipe in found) == decays


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that takes neither smoothed labels nor clipped gradients."""
    monkeypatch.setattr(METHODS, "registered", {})

    @register_method
    class Stubborn(Method):
        name = "stubborn"
        refuses = {"gradient_clip": "as it takes several steps for a batch"}

        def step(self, model: Any, batch: Any, threat: Any, generator: Any) -> Any:
            raise NotImplementedError


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            {"methods": ["stubborn"], "recipe": {"true_class_mass": 0.7}},
            "recipe.true_class_mass = 0.7: stubborn cannot be trained so, it takes no smoothed"
            " labels",
        ),
        (
            {"methods": ["trades", "stubborn"], "recipe": {"gradient_clip": 2}},
            "recipe.gradient_clip = 2: stubborn cannot be trained so,"
            " as it takes several steps for a batch",
        ),
        (
            {"recipe": {"true_class_mass": 0.05}},
            "recipe.true_class_mass = 0.05: among 10 classes the true one would get less than the"
            " others; 1/10 is the least",
        ),
        (
            {"datasets": ["tiny-imagenet"], "recipe": {"true_class_mass": 0.004}},
            "recipe.true_class_mass = 0.004: among 200 classes the true one would get less than the"
            " others; 1/200 is the least",
        ),
        (
            {"recipe": {"true_class_mass": 0}},
            "recipe.true_class_mass = 0: input should be 'method' or a number above 0 and at"
            " most 1",
        ),
        (
            {"recipe": {"ema_decay": "mine"}},
            "recipe.ema_decay = 'mine': input should be 'method', 'none' or a number above 0 and"
            " below 1",
        ),
        (
            {"methods": ["fgsm-pgi[true_class_mass=1]"]},
            "fgsm-pgi.true_class_mass is recipe.true_class_mass now, of all methods",
        ),
    ],
)
def test_a_trick_that_a_method_or_its_data_cannot_take_is_refused(
    stubborn: None, grid: dict[str, Any], message: str
) -> None:
    assert refusal(**grid) == message
    specs(**{**grid, "methods": ["stubborn"], "recipe": {"true_class_mass": 1}})


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"awp_gamma": 0}, ".awp_gamma = 0: input should be greater than 0"),
        ({"awp_gamma": -0.01}, ".awp_gamma = -0.01: input should be greater than 0"),
        ({"awp_warmup": 2}, ": awp_warmup 2 needs awp_gamma"),
        ({"awp_gamma": 0.01, "awp_warmup": 30}, ": awp_warmup 30 leaves no epoch of 30"),
        ({"ema_decay": 0.9, "ema_start": 31}, ": ema_start 31 is after the last epoch, 30"),
        ({"ema_start": 2}, ": ema_start 2 needs a number as ema_decay"),
        ({"ema_buffers": "live"}, ": ema_buffers live needs a number as ema_decay"),
        ({"ema_decay": "none", "ema_start": 2}, ": ema_start 2 needs a number as ema_decay"),
        ({"cycle_momentum": True}, ": cycle_momentum True needs the schedule onecycle"),
        (
            {"schedule": "multistep", "schedule_step": "epoch"},
            ": schedule_step epoch needs another schedule than multistep",
        ),
    ],
)
def test_a_trick_without_effect_is_refused(recipe: dict[str, Any], message: str) -> None:
    assert refusal(methods=["fgsm-pgk"], recipe=recipe) == f"recipe{message}"


def test_a_share_of_the_labels_has_left_the_parameters() -> None:
    message = refusal("pgd-at.true_class_mass=0.7", methods=["pgd-at"])
    assert message == "pgd-at.true_class_mass is recipe.true_class_mass now, of all methods"


# Suite files


def suite_refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        specs(grids=load_suite(str(path)))
    (line,) = str(error.value).splitlines()
    assert len(line) < 600
    return line


def bomb(depth: int) -> str:
    """Aliases of aliases: a few hundred bytes that stand for 10^depth words."""
    layers = ["a0: &a0 [boom]"]
    layers += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, depth)]
    return "\n".join([*layers, f"methods: *a{depth - 1}"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("methods: [trades\neps: {", ["is not YAML"]),
        ("a: b: c", ["is not YAML"]),
        ("\tmethods: [trades]", ["is not YAML"]),
        ("!!python/object/apply:os.system ['true']", ["is not YAML"]),
        ("methods: [a]\neps: [1]\nseeds: [2001-13-45]", ["seeds.0 = '2001-13-45'"]),
        ("[" * 100_000, ["is not YAML"]),
        ("\x00", ["is not YAML"]),
        ("- trades\n- mart", ["is not a mapping"]),
        ("", ["is not a mapping"]),
        ("trades", ["is not a mapping"]),
        ("1: 2", ["is not a mapping"]),
        ("methods: [trades]", ["suite.eps", "required"]),
        ("eps: [8/255]", ["suite.methods", "required"]),
        ("grids: 3", ["grids is not a list"]),
        ("grids: [3]", ["grids is not a list"]),
        ("grids: []", ["grids is not a list"]),
        ("grids: [{grids: [{}]}]", ["unknown key of suite 'grids'"]),
        ("recipe: 3", ["suite.recipe is not a mapping"]),
        ("grids: [{recipe: 3}]", ["suite.recipe is not a mapping"]),
        ("methods: &a [*a]\neps: [8/255]", ["stand for too many values"]),
        ("methods: [trades]\neps: [8/255]\nparams: &a {trades: *a}", ["is not YAML"]),
        ("methods: [trades]\neps: [8/255]\nepochs: 3", ["unknown key of suite 'epochs'"]),
        (bomb(40).replace("a39: &a39", "eps: &a39"), ["stand for too many values"]),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_suite_file_that_is_wrong_is_one_line(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    message = suite_refusal(path)
    for word in words:
        assert word in message


def test_a_bomb_among_the_values_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    nested = "[boom]"
    path.write_text("methods: &a [trades]\neps: [8/255]\nrecipe: {lr: " + nested + "}\n")
    assert "recipe.lr" in suite_refusal(path)
    grids = load_suite(str(path))
    value: Any = grids[0]["recipe"]["lr"]
    for _ in range(40):
        value = [value] * 10
    assert "recipe.lr" in refusal(recipe={"lr": value})


def test_a_suite_file_that_cannot_be_read(tmp_path: Path) -> None:
    missing, binary = tmp_path / "missing.yaml", tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x80")
    assert suite_refusal(missing).endswith("No such file or directory")
    assert suite_refusal(binary).endswith("it is not text")
    assert suite_refusal(tmp_path).endswith("Is a directory")


def test_an_unknown_suite_is_answered_by_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown suite 'digit': did you mean 'digits'"):
        load_suite("digit")


def test_a_suite_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "eps: [8/255]\nparams: {trades: {beta: 3}}\nrecipe: {epochs: 4, lr: 0.2}\n"
        "grids:\n- methods: [trades]\n- methods: [mart]\n  recipe: {lr: 0.01}\n"
    )
    trades, mart = specs(grids=load_suite(str(path)))
    assert (trades.method.label, trades.recipe.lr, trades.recipe.epochs) == (
        "trades[beta=3]",
        0.2,
        4,
    )
    assert (mart.method.label, mart.recipe.lr, mart.recipe.epochs) == ("mart", 0.01, 4)


# Anything at all

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
    st.sampled_from(["trades", "regmix", "fgsm-pgk", "digits", "smallcnn", "8/255", "L2", "beta"]),
)  # fmt: skip
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from([
    *("methods", "datasets", "archs", "eps", "eval_eps", "norm", "seeds", "recipe", "scoring"),
    *("params", "train_examples", "eval_examples", "evaluate"),
])  # fmt: skip
texts = st.text(alphabet="trades.beta=[]{},:!&*0123456789-e/ \n'\"", max_size=30)


@settings(deadline=None, max_examples=400)
@given(st.dictionaries(keys | scalars, anything, max_size=3), st.booleans())
def test_any_mapping_is_planned_or_refused_in_one_line(
    content: dict[Any, Any], whole: bool
) -> None:
    try:
        planned = plan([{**GRID, **content} if whole else content], {}, (), canonical_name)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(isinstance(spec, RunSpec) for spec in planned)


@settings(deadline=None, max_examples=300)
@given(texts | st.builds("trades.beta={}".format, texts | st.text()))
def test_any_setting_is_applied_or_refused_in_one_line(setting: str) -> None:
    try:
        (spec,) = plan([GRID], {}, [setting], canonical_name)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert spec.method.params["beta"] >= 0


@settings(deadline=None, max_examples=300)
@given(texts | st.builds("trades[{}]".format, texts | st.text()))
def test_any_method_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        (spec,) = plan([GRID | {"methods": [text]}], {}, (), canonical_name)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert spec.method.name == "trades"


def test_ten_thousand_runs_are_planned() -> None:
    started = time.perf_counter()
    planned = specs(
        methods=["trades", "mart", "pgd-at", "regmix", "fgsm-pgk"],
        eps=["4/255", "8/255"],
        seeds=list(range(1000)),
    )
    print(f"10,000 runs planned in {time.perf_counter() - started:.1f} s")
    assert len({spec.run_id for spec in planned}) == 10_000


def test_grids_may_share_a_recipe_by_means_of_yaml(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        "methods: [trades]\neps: [8/255]\ngrids:\n"
        "  - recipe: &short {epochs: 3, lr: 0.1}\n  - recipe: {<<: *short, lr: 0.2}\n"
    )
    recipes = [spec.recipe for spec in plan(load_suite(str(suite)))]
    assert [(recipe.epochs, recipe.lr) for recipe in recipes] == [(3, 0.1), (3, 0.2)]


def _scans(folder: Path, shade: int) -> str:
    folder.mkdir()
    images = np.full((6, 8, 8), shade, np.uint8)
    parts = {f"{split}_images": images for split in ("train", "test")}
    labels = {f"{split}_labels": np.arange(6) % 2 for split in ("train", "test")}
    np.savez(folder / "scans.npz", **parts, **labels)
    return f"npz:{folder / 'scans.npz'}"


def test_own_data_are_called_by_file_or_name_and_no_identity_follows(tmp_path: Path) -> None:
    (here,) = specs(datasets=[first := _scans(tmp_path / "a", 90)])
    (named,) = specs(datasets=[first], data={"name": "Lung scans"})
    assert (here.dataset_words, named.dataset_words) == ("scans", "Lung scans")
    assert here.run_id == named.run_id
    assert here.model_copy(update={"data_names": None}).run_id == here.run_id
    both = specs(datasets=[first, second := _scans(tmp_path / "b", 91)])
    apart = {spec.dataset_words for spec in both}
    assert apart == {f"scans ({spec.dataset[4:8]})" for spec in both}
    assert len(apart) == 2
    for names in ([first, second], ["digits"]):
        with pytest.raises(UserError, match=r"data\.name 'Lung scans' is (of one|for data of)"):
            specs(datasets=names, data={"name": "Lung scans"})
