"""Specifications are validated, immutable, and name files that stay in their folders."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.synthetic import make_record, make_spec

from regmix_bench.errors import UserError
from regmix_bench.records.paths import record_path
from regmix_bench.specs import MethodSpec, RunSpec
from regmix_bench.types import ThreatModel

fractions = st.builds(Fraction, st.integers(1, 10**9 - 1), st.integers(1, 10**9 - 1))


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
    with pytest.raises(UserError, match=field):
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
    with pytest.raises(UserError):
        make_spec(**change)


def test_specifications_and_records_are_immutable() -> None:
    spec = make_spec()
    with pytest.raises(ValidationError):
        spec.seed = 1
    with pytest.raises(ValidationError):
        make_record(spec).status = "error"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: RunSpec(), "RunSpec: dataset: field required"),
        (lambda: RunSpec("digits"), "RunSpec takes values by name, such as dataset=…"),  # type: ignore[call-arg,misc]
        (lambda: RunSpec(methods="trades"), "unknown argument of RunSpec 'methods'"),
        (lambda: RunSpec(**dict(make_spec()) | {"seed": -1}), "RunSpec: seed: input should be"),
        (lambda: ThreatModel("Linf"), "ThreatModel: epsilon: field required"),
        (lambda: ThreatModel(eps="8/255"), "unknown argument of ThreatModel 'eps'"),
    ],
)
def test_a_wrong_argument_is_one_line(make: Callable[[], object], said: str) -> None:
    with pytest.raises(UserError, match=said) as refused:
        make()
    assert "\n" not in str(refused.value)
