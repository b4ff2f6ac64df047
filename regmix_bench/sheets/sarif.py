"""A verification as JSON, and as SARIF 2.1.0, which code hosts show beside a file."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from regmix_bench.sheets.rules import RULES
from regmix_bench.sheets.verification import Verification, Violation

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def as_json(found: Verification) -> dict[str, Any]:
    """Return a verification as JSON holds it: broken rules, allowed ones, and what is needless."""
    return {
        "title": found.sheet.title,
        "source": found.sheet.source,
        "rules": len(RULES),
        "broken": [_as_json(violation) for violation in found.broken],
        "allowed": [_as_json(violation) for violation in found.allowed],
        "needless": list(found.needless),
    }


def as_sarif(found: Verification, path: Path) -> dict[str, Any]:
    """Return a verification of what lies at ``path`` as a log of SARIF 2.1.0.

    A violation that the sheet allows is a result that is suppressed, with its reason.
    """
    driver = {
        "name": "regmix-bench",
        "version": version("regmix-bench"),
        "rules": [
            {
                "id": rule.name,
                "shortDescription": {"text": rule.title},
                "fullDescription": {"text": rule.why},
                "defaultConfiguration": {"level": "error"},
            }
            for rule in RULES.values()
        ],
    }
    places = {name: index for index, name in enumerate(RULES)}
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    results = [_result(violation, places, uri) for violation in found.violations]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _as_json(violation: Violation) -> dict[str, Any]:
    return {
        "rule": violation.rule.name,
        "table": violation.table,
        "row": violation.row,
        "said": violation.said,
        "why": violation.rule.why,
        "allowed": violation.allowed,
    }


def _result(violation: Violation, places: dict[str, int], uri: str) -> dict[str, Any]:
    name = violation.table if violation.row is None else f"{violation.table}/{violation.row}"
    result = {
        "ruleId": violation.rule.name,
        "ruleIndex": places[violation.rule.name],
        "level": "error",
        "message": {"text": f"{violation.place}: {violation.said}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": uri}},
                "logicalLocations": [{"fullyQualifiedName": name, "kind": "object"}],
            }
        ],
    }
    if violation.allowed is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": violation.allowed}]
    return result
