"""Reports and their numbers know methods by what they declare, and none by its name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from regmix_bench.methods import METHODS

PACKAGE = Path(__file__).parents[2] / "regmix_bench"
READERS = [path for room in ("analysis", "reporting") for path in (PACKAGE / room).rglob("*.py")]

# Also the name of a version of AutoAttack.
NAMES = [name for name in METHODS.names() if name != "standard"]


def named(source: str) -> set[str]:
    """The methods that strings of a module name, docstrings aside."""
    tree = ast.parse(source)
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
    ]
    words = {word for text in strings for word in re.split(r"[^\w-]+", text)}
    return words & set(NAMES)


@pytest.mark.parametrize("path", READERS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_method_is_named(path: Path) -> None:
    assert named(path.read_text("utf-8")) == set()


def test_a_name_is_found() -> None:
    assert named("COLOURS = {'trades': 'blue'}") == {"trades"}
    assert named('"""As of trades."""\nimport regmix_bench') == set()
