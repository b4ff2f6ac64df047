"""Messages: one line, the value, the reason, the nearest valid choice."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regmix_bench.errors import UserError, unknown, validated
from regmix_bench.specs import Scoring
from regmix_bench.types import Frozen


class Example(Frozen):
    colour: Literal["Red", "Blue"] = "Red"
    size: int = 1
    parts: dict[str, Any] = {}


def refusal(values: dict[Any, Any]) -> str:
    with pytest.raises(UserError) as error:
        validated(Example, values, "example")
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "choices", "message"),
    [
        ("trade", ["trades", "mart"], "unknown method 'trade': did you mean 'trades'?"),
        ("zzz", ["trades", "mart"], "unknown method 'zzz': choose from mart, trades"),
        ("zzz", [], "unknown method 'zzz': there is none"),
        (7, ["trades"], "unknown method '7': choose from trades"),
        ("a\nb", ["trades"], "unknown method 'a\\nb': choose from trades"),
        (
            "zzz",
            [f"fgsm-{number:03}-{'x' * 41}" for number in range(300)],
            "unknown method 'zzz': choose from "
            + "".join(f"fgsm-{number:03}-{'x' * 41}, " for number in range(3))
            + "… (300 in all)",
        ),
    ],
)
def test_an_unknown_name_is_answered_by_the_nearest(name, choices, message) -> None:
    assert str(unknown("method", name, iter(choices))) == message


def test_what_fits_is_filled_in() -> None:
    assert validated(Example, {"colour": "Blue"}, "example") == Example(colour="Blue")


def test_an_unknown_key_is_named_before_a_bad_value() -> None:
    assert refusal({"colr": 1, "size": "x"}) == (
        "unknown key of example 'colr': did you mean 'colour'?"
    )


def test_valid_choices_are_spelled_as_they_must_be_typed() -> None:
    assert refusal({"colour": "red"}) == "example.colour = 'red': input should be 'Red' or 'Blue'"


def test_a_key_that_is_no_text_is_refused() -> None:
    assert refusal({"parts": {1: 2}}).startswith("example.parts.1")


def test_a_yaml_bomb_is_not_spelled_out() -> None:
    bomb: Any = "boom"
    for _ in range(30):
        bomb = [bomb] * 10  # 10^30 words, if they were written
    assert len(refusal({"size": bomb})) < 2000


def test_a_value_that_holds_itself_is_refused_in_one_line() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert "\n" not in refusal({"size": loop})


@settings(deadline=None)
@given(st.text(), st.one_of(st.text(), st.lists(st.text()), st.none(), st.binary()))
def test_every_refusal_is_one_line(key: str, value: object) -> None:
    try:
        validated(Example, {key: value}, "example")
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert key in Example.model_fields


def test_a_value_that_does_not_fit_the_others_is_told_without_all_of_them() -> None:
    with pytest.raises(UserError, match=r"^scoring: an attack is named twice$"):
        validated(
            Scoring,
            {"autoattack_version": "custom", "attacks": ["square", "square"]},
            "scoring",
        )
