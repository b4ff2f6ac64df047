"""Docstrings of public functions begin with what the function does, not with a riddle about it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Rooms whose docstrings keep to it. The list only grows.
CLEAN = [
    "baselines",
    "regmix_bench/data",
    "regmix_bench/distributed",
    "regmix_bench/errors.py",
    "regmix_bench/loading",
    "regmix_bench/losses.py",
    "regmix_bench/methods",
    "regmix_bench/models",
    "regmix_bench/registry.py",
    "regmix_bench/specs",
    "regmix_bench/system",
    "regmix_bench/training",
    "regmix_bench/types.py",
]

_RIDDLES = "what of whether who whose those that this these how where which when why as by for in"
_NOUN_PHRASES = "the a an its it all each every one some no"


def complaints(source: str) -> list[str]:
    """The public functions of a module whose docstring is missing or begins otherwise.

    It has to begin with a word in capitals that can be a verb: a property is a thing, whose
    docstring may begin with an article.
    """
    return [name for name, node in public(ast.parse(source)) if not is_plain(node)]


def public(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef]]:
    """The public functions at the top of a module, and the methods of its public classes."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{prefix}{node.name}.")
            else:
                yield prefix + node.name, node


def is_plain(node: ast.FunctionDef) -> bool:
    docstring = ast.get_docstring(node)
    if docstring is None:
        # A method that overrides another has that one's docstring.
        return bool(node.args.args and node.args.args[0].arg in ("self", "cls"))
    first = docstring.split()[0]
    refused = _RIDDLES.split()
    if not any(isinstance(d, ast.Name) and "property" in d.id for d in node.decorator_list):
        refused += _NOUN_PHRASES.split()
    return bool(re.fullmatch(r"[A-Z][A-Za-z-]*,?", first)) and first.lower() not in refused


@pytest.mark.parametrize("room", CLEAN)
def test_docstrings_say_what_to_expect(room: str) -> None:
    path = ROOT / room
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    found = {str(file.relative_to(ROOT)): complaints(file.read_text()) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("def f():\n    '''Return the sum.'''", []),
        ("def f():\n    '''What work has returned.'''", ["f"]),
        ("def f():\n    '''The sum.'''", ["f"]),
        ("def f():\n    '''``x`` as a float.'''", ["f"]),
        ("def f(): ...", ["f"]),
        ("def _f(): ...", []),
        ("class C:\n    def f(self):\n        '''Of those that hold.'''", ["C.f"]),
        ("class C:\n    @property\n    def f(self):\n        '''The sum.'''", []),
        ("class C:\n    @property\n    def f(self):\n        '''What it holds.'''", ["C.f"]),
        ("class C:\n    def f(self): ...", []),
    ],
)
def test_a_riddle_is_found(source: str, complaint: list[str]) -> None:
    assert complaints(source) == complaint
