"""The log of SARIF 2.1.0: what its schema requires, and what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.sheets import clean_content, planted, sheet_of

from regmix_bench.sheets.rules import RULES
from regmix_bench.sheets.sarif import as_json, as_sarif
from regmix_bench.sheets.verification import Verification, hold_to_rules

#: Of the schema of SARIF 2.1.0: the properties that we use of each object, and their types; those
#: that are required are marked with a star. None of these objects may have others.
SHAPES: dict[str, dict[str, Any]] = {
    "log": {"$schema": str, "version*": "2.1.0", "runs*": ["run"]},
    "run": {"tool*": "tool", "columnKind": "unicodeCodePoints", "results": ["result"]},
    "tool": {"driver*": "driver"},
    "driver": {"name*": str, "version": str, "rules": ["rule"]},
    "rule": {
        **{"id*": str, "shortDescription": "text", "fullDescription": "text"},
        "defaultConfiguration": "configuration",
    },
    "text": {"text*": str},
    "configuration": {"level": "error"},
    "result": {
        **{"ruleId": str, "ruleIndex": int, "level": "error", "message*": "text"},
        **{"locations": ["location"], "suppressions": ["suppression"]},
    },
    "location": {"physicalLocation": "physical", "logicalLocations": ["logical"]},
    "physical": {"artifactLocation": "artifact"},
    "artifact": {"uri": str},
    "logical": {"fullyQualifiedName": str, "kind": "object"},
    "suppression": {"kind*": "inSource", "justification": str},
}


def complaints(value: Any, shape: Any, where: str = "log") -> list[str]:
    """Where a value is not of the shape that the schema gives it."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where} is no array"]
        parts = (complaints(each, shape[0], where) for each in value)
        return [line for lines in parts for line in lines]
    if isinstance(shape, type):
        return [] if isinstance(value, shape) else [f"{where} is no {shape.__name__}"]
    if shape not in SHAPES:
        return [] if value == shape else [f"{where} is not {shape}"]
    known = {key.rstrip("*"): each for key, each in SHAPES[shape].items()}
    lines = [f"{where} lacks {key}" for key in SHAPES[shape] if key[-1] == "*"]
    lines = [line for line in lines if line.rpartition(" ")[2].rstrip("*") not in value]
    for key, each in value.items():
        found = complaints(each, known[key], key) if key in known else [f"{where} has {key}"]
        lines += found
    return lines


@pytest.fixture
def found() -> Verification:
    content = planted("tricks.ema_decay", 0.9995)
    content["tables"]["cifar10"]["ranked_by"] = "pgd-20"
    content["allow"] = {"ranked-by-weak-attack": "so it was"}
    return hold_to_rules(sheet_of(content))


def test_the_log_has_the_shape_that_the_schema_requires(found: Verification) -> None:
    log = json.loads(json.dumps(as_sarif(found, Path("a study.yaml"))))
    assert complaints(log, "log") == []
    broken = {"version": "2.1.0", "runs": [{"tool": {"driver": {"nam": 1}}}]}
    assert complaints(broken, "log") == ["driver lacks name*", "driver has nam"]


def test_results_point_at_rules_and_rows(found: Verification) -> None:
    (run,) = as_sarif(found, Path("a study.yaml"))["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    average, ranked = run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        assert place == {"uri": "a%20study.yaml"}
    logical = [result["locations"][0]["logicalLocations"][0] for result in (average, ranked)]
    assert [each["fullyQualifiedName"] for each in logical] == ["cifar10/regmix", "cifar10"]
    assert "suppressions" not in average
    assert ranked["suppressions"] == [{"kind": "inSource", "justification": "so it was"}]


def test_a_sheet_that_breaks_nothing_has_no_results(tmp_path: Path) -> None:
    log = as_sarif(hold_to_rules(sheet_of(clean_content())), tmp_path / "x.yaml")
    assert log["runs"][0]["results"] == [] and complaints(log, "log") == []


def test_json_tells_what_is_broken_allowed_and_needless(found: Verification) -> None:
    content = json.loads(json.dumps(as_json(found)))
    (broken,), (allowed,) = content["broken"], content["allowed"]
    assert (broken["rule"], broken["table"], broken["row"], broken["allowed"]) == (
        *("unlike-weight-average", "cifar10"),
        *("regmix", None),
    )
    assert (allowed["rule"], allowed["row"], allowed["allowed"]) == (
        *("ranked-by-weak-attack", None),
        "so it was",
    )
    assert broken["why"] == RULES["unlike-weight-average"].why
    assert (content["rules"], content["needless"]) == (len(RULES), [])
