"""Docstrings of public functions begin with what the function does, not with a riddle about it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PACKAGE = ROOT / "regmix_bench"
ROOMS = [
    ROOT / "baselines",
    *sorted(path for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()),
    *sorted(PACKAGE.glob("*.py")),
]

_RIDDLES = "what of whether who whose those that how where which when why"
_NOUN_PHRASES = "the a an its it this these all both each every one some no as by for in let"


def complaints(source: str) -> list[str]:
    """The module, public classes and functions whose docstring is missing or begins otherwise.

    That of a function has to begin with a word in capitals that can be a verb. A module, a class
    and a property are things: theirs may begin with an article, but not with a riddle either.
    """
    tree = ast.parse(source)
    found = [name for name, node in public(tree) if not is_plain(node)]
    docstring = ast.get_docstring(tree)
    return ["module", *found] if docstring and is_riddle(docstring) else found


def public(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, _Definition]]:
    """Public classes and functions at the top of a module, and in its public classes."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{prefix}{node.name}.")


_Definition = ast.FunctionDef | ast.ClassDef


def is_riddle(docstring: str) -> bool:
    return docstring.split()[0].lower().strip(",") in _RIDDLES.split()


def is_plain(node: _Definition) -> bool:
    docstring = ast.get_docstring(node)
    if isinstance(node, ast.ClassDef):
        return docstring is not None and not is_riddle(docstring)
    if docstring is None:
        # A method that overrides another has that one's docstring.
        return bool(node.args.args and node.args.args[0].arg in ("self", "cls"))
    if any(isinstance(d, ast.Name) and "property" in d.id for d in node.decorator_list):
        return not is_riddle(docstring)
    first = docstring.split()[0].strip(",")
    is_word = re.fullmatch(r"[A-Z][A-Za-z-]*", first)
    return bool(is_word) and first.lower() not in [*_RIDDLES.split(), *_NOUN_PHRASES.split()]


@pytest.mark.parametrize("room", ROOMS, ids=lambda path: path.stem)
def test_docstrings_say_what_to_expect(room: Path) -> None:
    files = [room] if room.is_file() else sorted(room.rglob("*.py"))
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
        ("'''What there is.'''", ["module"]),
        ("class C: ...", ["C"]),
        ("class C:\n    '''How it is done.'''", ["C"]),
        ("class C:\n    '''As B.'''\n    def f(self):\n        '''Of those.'''", ["C.f"]),
        ("class C:\n    '''A.'''\n    @property\n    def f(self):\n        '''The sum.'''", []),
        (
            "class C:\n    '''A.'''\n    @property\n    def f(self):\n        '''What it is.'''",
            ["C.f"],
        ),
        ("class C:\n    '''A.'''\n    def f(self): ...", []),
    ],
)
def test_a_riddle_is_found(source: str, complaint: list[str]) -> None:
    assert complaints(source) == complaint
