"""Threats as they are typed."""

from __future__ import annotations

import pytest

from regmix_bench.errors import UserError
from regmix_bench.specs.threats import parse_threats, threat_text


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        (["Linf:8/255", "L2:0.5", "L1:12"], ["Linf 8/255", "L2 0.5", "L1 12"]),
        (["8/255", " L1:2 ", "0.031"], ["L2 8/255", "L1 2", "L2 0.031"]),
        (["Linf:0..16/255:5"], ["Linf 4/255", "Linf 8/255", "Linf 12/255", "Linf 16/255"]),
        (["0..0.5:3", "L1:2..4:2"], ["L2 0.25", "L2 0.5", "L1 2", "L1 4"]),
        # Ends as typed where the steps are in parts like theirs, else in lowest terms.
        (["0..4/85:4"], ["L2 4/255", "L2 8/255", "L2 4/85"]),
        (["0..16/255:3", "8/255"], ["L2 8/255", "L2 16/255"]),
        *(([f"{zero}..16/255:3"], ["L2 8/255", "L2 16/255"]) for zero in ("0.0", "00", "0/255")),
        (["0..0.123456789:4"], ["L2 0.041152263", "L2 0.082304526", "L2 0.123456789"]),
    ],
)
def test_a_threat_is_a_norm_and_a_budget(typed: list[str], expected: list[str]) -> None:
    found = parse_threats(typed, "L2")
    assert [str(threat) for threat in found] == expected
    assert parse_threats(map(threat_text, found), "Linf") == found


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("L3:1", "unknown norm 'L3'"),
        (":8/255", "unknown norm ''"),
        ("Linf:2", "epsilon 2 is above 1"),
        ("Linf:1/255..2:3", "is above 1"),
        ("L2:", "epsilon '' is not a number"),
        ("L1:-1", "epsilon '-1' is not above zero"),
        ("8/255:3", "unknown norm '8/255'"),
        ("L1:1:3", "epsilon '1:3' is not a number"),
        ("0..:5", "epsilon '' is not a number"),
        ("0.0.0..1:5", "epsilon '0.0.0' is not a number"),
        ("0..0.123456789:8", "'0..0.123456789:8': 123456789/7000000000, which is one of these"),
        *(
            (text, "2 to 100 of them")
            for text in ("0..1", "0..1:1", "0..1:101", "1..0.5:3", "1..1:3", "0..1:²", "0..1:-2")
        ),
    ],
)
def test_anything_else_is_refused_in_one_line(typed: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_threats([typed], "Linf")
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_more_than_can_be_scored_are_refused_in_one_line() -> None:
    most = [f"{number}/1000" for number in range(1, 101)]
    assert len(parse_threats([*most, "0.1"], "Linf")) == 100
    with pytest.raises(UserError, match="101 threats are too many: name 100 at most"):
        parse_threats([*most, "0.5"], "Linf")
