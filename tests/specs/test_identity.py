"""The run_id: what it sees, and that it never changes."""

from __future__ import annotations

from typing import Any

import pytest
from support.synthetic import make_spec

from regmix_bench.methods import METHODS
from regmix_bench.specs import MethodSpec, Recipe, RunSpec, Scoring
from regmix_bench.specs.identity import MASS_AMONG_PARAMS, completed, hashed
from regmix_bench.types import ThreatModel


def test_the_run_id_is_pinned() -> None:
    # Recorded results are found by it: a change here needs a new IDENTITY_VERSION.
    assert make_spec().run_id == "b601fd1bc865"
    assert make_spec("mart").run_id == "8420b751830e"


def test_the_run_id_sees_values_not_spelling() -> None:
    assert make_spec(epsilon="8/255").run_id == make_spec(epsilon="16/510").run_id
    shown = make_spec(method=MethodSpec(name="a", version=1, params={"x": 1, "y": 2}, label="a"))
    other = make_spec(method=MethodSpec(name="a", version=1, params={"y": 2, "x": 1}, label="b"))
    assert shown.run_id == other.run_id and shown.stem != other.stem


METHOD = {"name": "trades", "version": 1, "params": {"beta": 6.0}, "label": "trades"}
OTHER: dict[str, Any] = {
    "method": {**METHOD, "name": "mart"},
    "method.version": {**METHOD, "version": 2},
    "method.params": {**METHOD, "params": {"beta": 5.0}},
    "dataset": "cifar10",
    "train_examples": 1,
    "labelled": 0.1,
    "extra": "extra-npz-0123456789ab",
    "eval_examples": 1,
    "arch": "resnet8",
    "train_threat": ThreatModel("Linf", "48/255"),
    "train_threat.norm": ThreatModel("L2", "32/255"),
    "eval_threats": (ThreatModel("Linf", "32/255"), ThreatModel("Linf", "48/255")),
    "pgd_threats": (ThreatModel("Linf", "8/255"),),
    "evaluate": "both",
    "seed": 1,
}
OTHER_RECIPE: dict[str, Any] = {
    "optimizer": "adamw",
    "epochs": 51,
    "batch_size": 64,
    "batches": "equal",
    "lr": 0.2,
    "momentum": 0.8,
    "nesterov": True,
    "weight_decay": 1e-4,
    "schedule": "cosine",
    "milestones": (0.5,),
    "gamma": 0.2,
    "augmentation": "none",
    "gradient_clip": 1.0,
    "true_class_mass": 0.7,
    "ema_decay": 0.9,
    "ema_start": 2,
    "ema_buffers": "live",
    "awp_gamma": 0.01,
    "awp_warmup": 2,
    "schedule_step": "epoch",
    "cycle_momentum": True,
    "precision": "bf16",
    "validation_precision": "tf32",
    "selection": "last",
    "unlabelled": "rst",
    "init": "0" * 64,
}
#: What some of these need.
NEEDED: dict[str, dict[str, Any]] = {
    "ema_start": {"ema_decay": 0.9},
    "ema_buffers": {"ema_decay": 0.9},
    "awp_warmup": {"awp_gamma": 0.01},
    "schedule_step": {"schedule": "onecycle"},
    "cycle_momentum": {"schedule": "onecycle"},
}
OTHER_SCORING: dict[str, Any] = {
    "autoattack_seed": 1,
    "autoattack_batch_size": 100,
    "search_precision": "tf32",
}


def test_every_field_has_another_value_below() -> None:
    # A field with a single allowed value cannot vary.
    elsewhere = {"recipe", "scoring", "components"}
    for_readers = {"data_names"}
    assert {name.partition(".")[0] for name in OTHER} | elsewhere | for_readers == set(
        RunSpec.model_fields
    )
    assert set(OTHER_RECIPE) == set(Recipe.model_fields)
    versions = {"autoattack_version", "attacks", "screen", "forward_batch_size"}
    assert set(OTHER_SCORING) | versions == set(Scoring.model_fields)


@pytest.mark.parametrize(
    "change",
    [{name.partition(".")[0]: value} for name, value in OTHER.items()]
    + [{"recipe": {name: value}} for name, value in OTHER_RECIPE.items()]
    + [{"scoring": {name: value}} for name, value in OTHER_SCORING.items()]
    + [{"scoring": {"autoattack_version": "plus"}}]
    + [{"scoring": {"screen": True}}]
    + [{"scoring": {"forward_batch_size": 4}}]
    + [{"scoring": {"autoattack_version": "custom", "attacks": ["square"]}}],
    ids=str,
)
def test_the_run_id_sees_every_field(change: dict[str, Any]) -> None:
    said = change.get("recipe", {})
    shared = {"epochs": 50} | {k: v for name in said for k, v in NEEDED.get(name, {}).items()}
    base, other = make_spec(recipe=shared), make_spec(**change | {"recipe": shared | said})
    assert other.run_id != base.run_id
    assert (other.group_id == base.group_id) == (set(change) == {"seed"})


# Fields of version 1 that have moved, or are written otherwise now.


def recorded(name: str, params: dict[str, Any], **recipe: Any) -> dict[str, Any]:
    """The JSON of a run as it was recorded before recipes had a share of the labels."""
    content = make_spec().model_dump(mode="json")
    content["method"] = {"name": name, "version": 1, "params": params, "label": name}
    content["recipe"] = {**content["recipe"], "ema_decay": None, **recipe}
    del content["recipe"]["true_class_mass"]
    return content


@pytest.mark.parametrize(
    ("name", "mass", "today"),
    [
        ("fgsm-pgi", 0.6, "method"),
        ("fgsm-pgi", 1.0, 1.0),
        ("fgsm-pgk", 0.5, "method"),
        ("trades", 1.0, "method"),
        ("trades", 0.7, 0.7),
    ],
)
def test_a_recorded_share_of_the_labels_is_the_recipe_s_and_hashed_where_it_was(
    name: str, mass: float, today: Any
) -> None:
    old = recorded(name, {"a": 1, "true_class_mass": mass})
    spec = RunSpec.model_validate(completed(RunSpec, old))
    assert (spec.recipe.true_class_mass, spec.method.params) == (today, {"a": 1})
    identity = hashed(spec)
    assert identity["method"]["params"] == {"a": 1, "true_class_mass": mass}
    assert "true_class_mass" not in identity["recipe"]
    assert RunSpec.model_validate(completed(RunSpec, spec.model_dump(mode="json"))) == spec
    # Said in the recipe, it is the same run.
    said = spec.model_copy(
        update={"recipe": spec.recipe.model_copy(update={"true_class_mass": mass})}
    )
    assert said.run_id == spec.run_id


def test_methods_that_had_no_share_of_the_labels_hash_it_as_any_later_field() -> None:
    old = recorded("mart", {"a": 1})
    spec = RunSpec.model_validate(completed(RunSpec, old))
    assert hashed(spec)["method"]["params"] == {"a": 1}
    said = make_spec(method=spec.method, recipe={"true_class_mass": 0.7})
    assert hashed(said)["recipe"]["true_class_mass"] == 0.7
    # A stranger's parameter is its own.
    strange = recorded("mine", {"true_class_mass": 0.7})
    assert completed(RunSpec, strange)["method"]["params"] == {"true_class_mass": 0.7}


def test_the_shares_that_are_hashed_are_the_authors() -> None:
    for name, mass in MASS_AMONG_PARAMS.items():
        assert METHODS[name].default_true_class_mass == mass


def test_no_average_of_the_recipe_s_is_hashed_as_it_was() -> None:
    spec = RunSpec.model_validate(completed(RunSpec, recorded("trades", {"beta": 6.0})))
    assert spec.recipe.ema_decay == "method"
    assert hashed(spec.recipe)["ema_decay"] is None
    for other in ("none", 0.9):
        assert hashed(Recipe(ema_decay=other))["ema_decay"] == other
        assert completed(Recipe, {"ema_decay": other})["ema_decay"] == other


@pytest.mark.parametrize(
    "broken", [{"method": 1}, {"recipe": None}, {"method": {"params": 3, "code": None}}]
)
def test_what_is_no_run_is_left_to_validation(broken: dict[str, Any]) -> None:
    content = recorded("trades", {"true_class_mass": 1.0}) | broken
    found = completed(RunSpec, content)
    assert {name: found[name] for name in broken} == broken
