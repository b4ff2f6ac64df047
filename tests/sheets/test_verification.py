"""Violations, and the reasons that a sheet gives for them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sheets import clean_content, planted, sheet_of

from regmix_bench.errors import UserError
from regmix_bench.records.store import json_bytes
from regmix_bench.sheets.reader import make_sheet
from regmix_bench.sheets.rule import Breach
from regmix_bench.sheets.sarif import as_json, as_sarif
from regmix_bench.sheets.verification import Verification, hold_to_rules


def held(content: dict[str, Any], allow: object = None) -> Verification:
    return hold_to_rules(sheet_of(content if allow is None else {**content, "allow": allow}))


def test_a_sheet_that_keeps_all_rules_breaks_none() -> None:
    found = held(clean_content())
    assert (found.violations, found.needless, found.failed) == ((), (), False)


def test_a_violation_names_rule_table_and_row() -> None:
    found = held(planted("tricks.ema_decay", 0.9995))
    (violation,) = found.broken
    assert found.failed
    assert (violation.rule.name, violation.place) == ("unlike-weight-average", "cifar10 · regmix")


@pytest.mark.parametrize(
    "allow",
    [
        {"unlike-weight-average": "it is a part of the method"},
        {"unlike-weight-average": {"cifar10": "it is a part of the method"}},
    ],
)
def test_what_is_allowed_with_a_reason_does_not_fail(allow: object) -> None:
    found = held(planted("tricks.ema_decay", 0.9995), allow)
    assert not found.failed and found.needless == ()
    assert [violation.allowed for violation in found.allowed] == ["it is a part of the method"]


def test_a_reason_for_one_table_holds_for_no_other() -> None:
    content = planted("tricks.ema_decay", 0.9995)
    content["tables"]["again"] = content["tables"]["cifar10"]
    found = held(content, {"unlike-weight-average": {"again": "so it is"}})
    assert [violation.table for violation in found.broken] == ["cifar10"]
    assert [violation.table for violation in found.allowed] == ["again"]


@pytest.mark.parametrize(
    ("allow", "needless"),
    [
        ({"no-autoattack": "x"}, ("no-autoattack",)),
        ({"no-autoattack": {"cifar10": "x"}}, ("no-autoattack of cifar10",)),
        ({"unlike-weight-average": "x", "unlike-seeds": "x"}, ("unlike-seeds",)),
    ],
)
def test_a_reason_that_nothing_needs_is_said(allow: object, needless: tuple[str, ...]) -> None:
    assert held(planted("tricks.ema_decay", 0.9995), allow).needless == needless


@pytest.mark.parametrize(
    ("allow", "said"),
    [
        ({"unlike-seed": "x"}, "unknown rule in allow 'unlike-seed': did you mean 'unlike-seeds'"),
        ({"no-autoatack": {"cifar10": "x"}}, "did you mean 'no-autoattack'"),
        ({"unlike-seeds": {"cifar100": "x"}}, "unknown table in allow of unlike-seeds 'cifar100'"),
    ],
)
def test_a_name_that_is_misspelt_in_allow_is_refused(allow: object, said: str) -> None:
    with pytest.raises(UserError, match=said):
        held(clean_content(), allow)


def test_what_was_measured_elsewhere_counts_as_a_violation() -> None:
    measured = {"number-not-borne-out": {"cifar10": [Breach("trades", "49.0, and 48.0 by file")]}}
    (violation,) = hold_to_rules(sheet_of(clean_content()), measured).broken
    assert (violation.rule.name, violation.row) == ("number-not-borne-out", "trades")


def leaves(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        if isinstance(each, dict | list):
            yield from leaves(each, *path, key)
        else:
            yield (*path, key)


ODD: list[Any] = [
    *(None, True, "", "x", "none", "test", "mixed", "last", "\ud800", "\x1b[31m", -1, 0, 1, 2**62),
    *(10**400, 0.0, -0.0, 1e-300, 1e308, 100.0, float("nan"), float("inf")),
    *([], {}, [[]], {"": 1}, {"mean": 1}, [1, 2], [2, 1], {"norm": "L2", "epsilon": "1e-9"}),
]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_a_sheet_holds_is_refused_in_a_line_or_written_whole(data: st.DataObject) -> None:
    content = clean_content()
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(list(leaves(content))))
        here: Any = content
        for step in path:
            here = here[step]
        here[last] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
    try:
        found = hold_to_rules(make_sheet(content))
    except UserError as error:
        assert "\n" not in str(error) and "pydantic" not in str(error)
    else:
        for written in (as_json(found), as_sarif(found, Path("x.yaml"))):
            assert json.loads(json_bytes(written)) == json.loads(json.dumps(written))
