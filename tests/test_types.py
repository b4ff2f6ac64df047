from __future__ import annotations

import copy
import pickle
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.synthetic import make_spec

from regmix_bench.errors import UserError
from regmix_bench.specs import RunSpec
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
    assert epsilon.slug == Epsilon("4/85").slug == "12-255"
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
        ("L3", "8/255", "unknown norm 'L3'"),
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
