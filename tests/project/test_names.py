"""One word, one meaning: no two modules of the package give the same name to two things."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "regmix_bench"


def names(source: str) -> set[str]:
    """Public classes and functions at the top level of a module."""
    found = (n.name for n in ast.parse(source).body if isinstance(n, _NAMED))
    return {name for name in found if not name.startswith("_")}


_NAMED = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def alike(sources: dict[str, str]) -> dict[str, list[str]]:
    """Names that stand in several modules, and these modules.

    A command of `cli` may bear the name of the verb in `api` that it calls, and launchers are
    modules of `grid` that are told apart by their own names.
    """
    holders = defaultdict(set)
    for module, source in sources.items():
        verb = module.removeprefix("cli/").removeprefix("api/")
        for name in names(source) - ({"launch"} if module.startswith("grid/") else set()):
            holders[name].add(verb if verb != module else module)
    return {name: sorted(where) for name, where in sorted(holders.items()) if len(where) > 1}


def test_no_two_things_are_called_alike() -> None:
    sources = {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}
    assert alike(sources) == {}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("class Run: ...", "class Run: ...", ["Run"]),
        ("def _run(): ...", "def _run(): ...", []),
        ("def walk(): ...", "def run(): ...", []),
        ("def f():\n    def run(): ...", "def run(): ...", []),
    ],
)
def test_likeness_is_found(one: str, other: str, expected: list[str]) -> None:
    assert list(alike({"a.py": one, "b/c.py": other})) == expected


def test_a_command_may_bear_the_name_of_its_verb() -> None:
    same = "def audit(): ..."
    assert alike({"api/audit.py": same, "cli/audit.py": same}) == {}
    assert list(alike({"api/audit.py": same, "data/audit.py": same})) == ["audit"]
