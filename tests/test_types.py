from __future__ import annotations

import copy
import json
import pickle
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.synthetic import make_record, make_spec, write_run

from regmix_bench.errors import UserError
from regmix_bench.records.paths import record_path
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.store import load_record
from regmix_bench.specs import MethodSpec, Recipe, RunSpec, Scoring
from regmix_bench.types import Epsilon, ThreatModel

fractions = st.builds(Fraction, st.integers(1, 10**9 - 1), st.integers(1, 10**9 - 1))


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("8/255", Fraction(8, 255)),
        (" 12/255 ", Fraction(4, 85)),
        ("0.031", Fraction(31, 1000)),
        (".5", Fraction(1, 2)),
        ("1e-3", Fraction(1, 1000)),
        (0.031, Fraction(31, 1000)),
        (0.1, Fraction(1, 10)),
        (1, Fraction(1)),
        (Fraction(16, 510), Fraction(8, 255)),
    ],
)
def test_epsilon_is_exact(typed: Any, value: Fraction) -> None:
    assert Epsilon(typed) == value
    assert hash(Epsilon(typed)) == hash(value)


def test_epsilon_keeps_its_text() -> None:
    epsilon = Epsilon("12/255")
    assert epsilon == Epsilon("4/85") and str(epsilon) == "12/255" != str(Epsilon("4/85"))
    assert epsilon.slug == "12-255"
    assert repr(epsilon) == "Epsilon('12/255')"
    copies = (copy.copy(epsilon), copy.deepcopy(epsilon), pickle.loads(pickle.dumps(epsilon)))
    assert [str(other) for other in copies] == ["12/255"] * 3


@pytest.mark.parametrize(
    "typed",
    [
        *("", "abc", "8/0", "8/00", "0/255", "0", "-8/255", "-0.1", "nan", "inf", "1e400"),
        *("1_0/255", "1e-999999999", "8 / 255", "8/255/2", "٨/255", "0x8", "8/255\n8"),
        *(float("nan"), -1.0, 0.0),
    ],
)
def test_epsilon_refuses_what_is_no_budget(typed: Any) -> None:
    with pytest.raises(UserError, match=r"^epsilon "):
        Epsilon(typed)


@given(fractions)
def test_epsilon_round_trips_through_text(value: Fraction) -> None:
    epsilon = Epsilon(value)
    assert epsilon == value
    assert Epsilon(str(epsilon)) == value
    assert "/" not in epsilon.slug


@given(st.floats(min_value=1e-12, max_value=1, exclude_min=True))
def test_epsilon_of_a_float_is_its_shortest_decimal(value: float) -> None:
    assert float(Epsilon(value)) == value
    assert str(Epsilon(value)) == str(value)


@given(fractions.filter(lambda value: value <= 1), st.sampled_from(["Linf", "L2"]))
def test_threat_round_trips_through_a_specification(value: Fraction, norm: Any) -> None:
    threat = ThreatModel(norm, Epsilon(value))
    spec = make_spec(train_threat=threat, eval_threats=(threat,))
    again = RunSpec.model_validate_json(spec.model_dump_json())
    assert again == spec and again.run_id == spec.run_id
    assert str(again.train_threat) == str(threat) == f"{norm} {value}"


def test_threats_are_equal_by_value() -> None:
    assert ThreatModel("Linf", "8/255") == ThreatModel("Linf", "16/510")
    assert len({ThreatModel("Linf", "8/255"), ThreatModel("Linf", "16/510")}) == 1
    assert ThreatModel("Linf", "8/255") != ThreatModel("Linf", "0.031")
    assert ThreatModel("Linf", "8/255") != ThreatModel("L2", "8/255")
    assert ThreatModel.bounds == (0.0, 1.0)


@pytest.mark.parametrize(
    ("norm", "epsilon", "message"),
    [
        ("Linf", "8", "above 1, the whole range of a pixel: write it like 8/255"),
        ("Linf", "256/255", "above 1"),
        ("linf", "8/255", "unknown norm 'linf': did you mean 'Linf'"),
        ("L1", "8/255", "unknown norm 'L1'"),
        (["L2"], "8/255", "unknown norm"),
        ("Linf", True, "not a number"),
        ("Linf", None, "not a number"),
        ("Linf", [8, 255], "not a number"),
    ],
)
def test_threat_refuses_in_one_line(norm: Any, epsilon: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        ThreatModel(norm, epsilon)
    assert "\n" not in str(caught.value)


def test_the_whole_range_and_a_large_l2_ball_are_threats() -> None:
    assert ThreatModel("Linf", "255/255").epsilon == 1
    assert ThreatModel("L2", "2.5").epsilon == Fraction(5, 2)


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
}
OTHER_SCORING: dict[str, Any] = {
    "autoattack_seed": 1,
    "autoattack_batch_size": 100,
}


def test_every_field_has_another_value_below() -> None:
    # A field with a single allowed value cannot vary.
    assert {name.partition(".")[0] for name in OTHER} | {"recipe", "scoring", "components"} == set(
        RunSpec.model_fields
    )
    assert set(OTHER_RECIPE) == set(Recipe.model_fields)
    versions = {"autoattack_version", "attacks", "screen"}
    assert set(OTHER_SCORING) | versions == set(Scoring.model_fields)


@pytest.mark.parametrize(
    "change",
    [{name.partition(".")[0]: value} for name, value in OTHER.items()]
    + [{"recipe": {"epochs": 50} | {name: value}} for name, value in OTHER_RECIPE.items()]
    + [{"scoring": {name: value}} for name, value in OTHER_SCORING.items()]
    + [{"scoring": {"autoattack_version": "plus"}}]
    + [{"scoring": {"screen": True}}]
    + [{"scoring": {"autoattack_version": "custom", "attacks": ["square"]}}],
    ids=str,
)
def test_the_run_id_sees_every_field(change: dict[str, Any]) -> None:
    base, other = make_spec(), make_spec(**change)
    assert other.run_id != base.run_id
    assert (other.group_id == base.group_id) == (set(change) == {"seed"})


def test_label_and_seed_name_the_file() -> None:
    spec = make_spec("fgsm-pgi[lambda_=1]", seed=3)
    assert spec.stem == f"fgsm-pgi-lambda_1-Linf-32-255-s3-{spec.run_id}"


@given(label=st.text(), norm=st.sampled_from(["Linf", "L2"]), value=fractions)
def test_no_label_can_leave_its_folder(
    tmp_path_factory: pytest.TempPathFactory, label: str, norm: Any, value: Fraction
) -> None:
    threat = ThreatModel(norm, min(value, 1 / value))
    method = MethodSpec(name="m", version=1, params={}, label=label)
    spec = make_spec(method=method, train_threat=threat)
    root = tmp_path_factory.getbasetemp()
    assert record_path(root, spec).parent == root / "digits" / "smallcnn"
    assert PurePosixPath(spec.stem).name == spec.stem
    assert spec.stem.isascii() and spec.stem.isprintable() and " " not in spec.stem
    assert spec.stem.endswith(f"-s0-{spec.run_id}")


@pytest.mark.parametrize("field", ["dataset", "arch"])
@pytest.mark.parametrize(
    "name", ["", "..", ".", "../x", "a/b", "/etc", "a\\b", ".hidden", "a\n", "a b", "é", "npz:a"]
)
def test_no_name_can_leave_its_folder(field: str, name: str) -> None:
    with pytest.raises(ValidationError, match=field):
        make_spec(**{field: name})


@pytest.mark.parametrize(
    "change",
    [
        {"recipe": {"epochs": 0}},
        {"recipe": {"lr": float("nan")}},
        {"recipe": {"lr": float("inf")}},
        {"recipe": {"milestones": (1.0,)}},
        {"recipe": {"momentums": 0.9}},
        {"eval_threats": ()},
        {"seed": -1},
        {"evaluate": "none"},
        {"device": "cpu"},
    ],
    ids=str,
)
def test_a_specification_is_validated(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_spec(**change)


def test_specifications_and_records_are_immutable() -> None:
    spec = make_spec()
    with pytest.raises(ValidationError):
        spec.seed = 1
    with pytest.raises(ValidationError):
        make_record(spec).status = "error"


def test_a_record_round_trips_and_finds_its_evaluations(tmp_path: Any) -> None:
    record = load_record(write_run(tmp_path, make_spec(epsilon="8/255")))
    assert RunRecord.model_validate(json.loads(record.model_dump_json())) == record
    found = record.evaluation("selected", ThreatModel("Linf", "16/510"))
    assert found is record.evaluations[0]
    assert record.evaluation("last", found.threat) is None
    assert record.evaluation("selected", ThreatModel("Linf", "4/255")) is None
