"""The run_id: what it sees, and that it never changes."""

from __future__ import annotations

from typing import Any

import pytest
from support.synthetic import make_spec

from regmix_bench.specs import MethodSpec, Recipe, RunSpec, Scoring
from regmix_bench.types import ThreatModel


def test_the_run_id_is_pinned() -> None:
    # Recorded results are found by it: a change here needs a new IDENTITY_VERSION.
    assert make_spec().run_id == "066a8ac7b593"


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
    "ema_decay": 0.9,
    "precision": "bf16",
    "validation_precision": "tf32",
}
OTHER_SCORING: dict[str, Any] = {
    "autoattack_seed": 1,
    "autoattack_batch_size": 100,
    "search_precision": "tf32",
}


def test_every_field_has_another_value_below() -> None:
    # A field with a single allowed value cannot vary.
    assert {name.partition(".")[0] for name in OTHER} | {"recipe", "scoring", "components"} == set(
        RunSpec.model_fields
    )
    assert set(OTHER_RECIPE) == set(Recipe.model_fields)
    versions = {"autoattack_version", "attacks", "screen", "forward_batch_size"}
    assert set(OTHER_SCORING) | versions == set(Scoring.model_fields)


@pytest.mark.parametrize(
    "change",
    [{name.partition(".")[0]: value} for name, value in OTHER.items()]
    + [{"recipe": {"epochs": 50} | {name: value}} for name, value in OTHER_RECIPE.items()]
    + [{"scoring": {name: value}} for name, value in OTHER_SCORING.items()]
    + [{"scoring": {"autoattack_version": "plus"}}]
    + [{"scoring": {"screen": True}}]
    + [{"scoring": {"forward_batch_size": 4}}]
    + [{"scoring": {"autoattack_version": "custom", "attacks": ["square"]}}],
    ids=str,
)
def test_the_run_id_sees_every_field(change: dict[str, Any]) -> None:
    base, other = make_spec(), make_spec(**change)
    assert other.run_id != base.run_id
    assert (other.group_id == base.group_id) == (set(change) == {"seed"})
