"""Specifications are validated, immutable, and name files that stay in their folders."""

from __future__ import annotations

from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.synthetic import make_record, make_spec

from regmix_bench.records.paths import record_path
from regmix_bench.specs import MethodSpec
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
