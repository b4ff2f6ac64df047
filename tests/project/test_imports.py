"""The direction of dependencies: each room uses the floors below it, and nothing points back."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "regmix_bench"

# Docs and guard cannot part: the order of the floors stands in the former alone.
_FLOORS = re.search(
    r"## Floors.*?```\n(.*?)```", (ROOT / "docs/architecture.md").read_text(), re.DOTALL
)
assert _FLOORS
FLOORS = [line.split()[0] for line in _FLOORS[1].splitlines()] + ["__init__"]
LEVEL = {room: level for level, room in enumerate(FLOORS)}

# What reads results never trains and never attacks.
READERS = {"analysis", "reporting", "sheets"}
WORKERS = {"models", "attacks", "training", "evaluation", "runs"}

BASELINES_MAY_USE = {"types", "losses", "registry", "errors", "attacks", "methods"}


def imports(source: str, package: str) -> set[str]:
    """Dotted modules that ``source``, a module of ``package``, imports, wherever they stand."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if is_module(name) else base for name in names}
    return found


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def rooms_used(source: str, package: str) -> set[str]:
    """The rooms of `regmix_bench` that ``source`` imports; the package itself is `__init__`."""
    parts = (name.split(".") for name in imports(source, package))
    return {(name[1:] or ["__init__"])[0] for name in parts if name[0] == "regmix_bench"}


def complaints(room: str, used: set[str]) -> list[str]:
    """One line for each import by which ``room`` breaks the direction."""
    broken = [f"{room} uses {name}, which is on no floor" for name in used - LEVEL.keys()]
    known = used & LEVEL.keys()
    broken += [f"{room} points back to {name}" for name in known if LEVEL[name] > LEVEL[room]]
    if room in READERS:
        broken += [f"{room} reads results, yet uses {name}" for name in known & WORKERS]
    return sorted(broken)


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The modules of a circle among ``edges``, or nothing."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _package(path: Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules("regmix_bench"), ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_points_back(path: Path) -> None:
    assert complaints(_room(path), rooms_used(path.read_text(), _package(path))) == []


def test_the_floors_are_the_rooms_there_are() -> None:
    present = {_room(path) for path in modules("regmix_bench")}
    assert set(FLOORS) == present


def test_no_room_imports_in_circles() -> None:
    """Of what runs on import; names deferred into a function or for types cannot hurt."""
    edges: dict[str, set[str]] = {}
    for path in modules("regmix_bench"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text())
        at_once = ast.Module([n for n in tree.body if not isinstance(n, _LATER)], [])
        used = imports(ast.unparse(at_once), _package(path))
        edges[name] = {other for other in used if other != name and is_module(other)}
    assert circle(edges) == []


# A block of ``if TYPE_CHECKING`` is the only `if` at the top of a module.
_LATER = (ast.If, ast.FunctionDef, ast.ClassDef)


def test_a_circle_is_found() -> None:
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": set()})) == {"a", "b", "c"}


def test_the_hall_stays_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


@pytest.mark.parametrize("path", modules("baselines"), ids=lambda p: p.name)
def test_baselines_use_what_any_plug_in_may_use(path: Path) -> None:
    assert rooms_used(path.read_text(), "regmix_baselines") <= BASELINES_MAY_USE


@pytest.mark.parametrize("path", modules("regmix_bench"), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_part_knows_the_baselines(path: Path) -> None:
    names = imports(path.read_text(), _package(path))
    assert not [name for name in names if name.split(".")[0] in {"regmix_baselines", "baselines"}]


@pytest.mark.parametrize(
    ("room", "source", "complaint"),
    [
        ("attacks", "from regmix_bench.training import x", "attacks points back to training"),
        ("data", "def f():\n    from regmix_bench import records", "data points back to records"),
        ("types", "import regmix_bench.cli", "types points back to cli"),
        ("records", "from regmix_bench import __version__", "records points back to __init__"),
        ("methods", "from ..runs import run", "methods points back to runs"),
        ("records", "from . import runs", "records points back to runs"),
        ("records", "import regmix_bench.nowhere", "records uses nowhere, which is on no floor"),
        (
            "reporting",
            "if TYPE_CHECKING:\n    import regmix_bench.models.fusion",
            "reporting reads results, yet uses models",
        ),
    ],
)
def test_an_offender_is_named(room: str, source: str, complaint: str) -> None:
    package = f"regmix_bench.{room}" if source.startswith("from ..") else "regmix_bench"
    assert complaints(room, rooms_used(source, package)) == [complaint]


def test_a_downward_import_passes() -> None:
    source = "import torch\nfrom regmix_bench import records\nfrom .types import RunSpec"
    used = rooms_used(source, "regmix_bench")
    assert used == {"records", "types"}
    assert complaints("runs", used) == []


def test_torch_waits_until_it_is_needed() -> None:
    """Listing, planning, reporting and checking start at once, also where torch is slow to load."""
    light = [
        "errors",
        "system.signals",
        "types",
        "analysis.statistics",
        "models",
        "records.store",
        "grid.plan",
        "reporting",
        "analysis.regression",
    ]
    code = f"""
import importlib, sys
for module in {[*light, "cli"]}:
    importlib.import_module("regmix_bench." + module)
    if "torch" in sys.modules:
        sys.exit(module + " imports torch")
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr


def test_every_package_is_installed() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    present = {_package(path) for path in modules("regmix_bench")}
    assert set(listed) == {"regmix_baselines", *present}
