"""What a command says goes through `cli/printing.py`, which leaves a terminal nothing to obey."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "regmix_bench"


def prints(source: str) -> int:
    """The number of calls of ``print``, and of ``write`` of a standard stream."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = [ast.unparse(node.func) for node in calls]
    return sum(name in ("print", "sys.stdout.write", "sys.stderr.write") for name in names)


def test_nothing_else_prints() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): prints(path.read_text())
        for path in PACKAGE.rglob("*.py")
    }
    # The one line of `cli/__init__.py` is a constant, and said before anything is imported.
    expected = {"cli/printing.py": 1, "cli/__init__.py": 1}
    assert {name: count for name, count in found.items() if count} == expected
    assert prints("def f():\n    print(1)\n    sys.stderr.write(2)") == 2
