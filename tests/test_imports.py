"""The direction of dependencies: each layer uses the ones below it, and nothing points back."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the bottom up. A module of `regmix_bench` is named by its first component.
LAYERS: tuple[set[str], ...] = (
    {
        "errors",
        "signals",
        "files",
        "types",
        "records",
        "registry",
        "perturb",
        "statistics",
        "machine",
    }
    | {"comparison", "deferred", "distributed", "ray_cluster"},
    {"methods", "data", "models"},
    {"training", "states", "history", "evaluation", "plan", "store", "locks", "views"},
    {"runner", "scorer", "sources", "export", "audit", "transfer", "progress", "launcher"}
    | {"ray_launcher", "inspection", "reporting", "regression", "leaderboard", "serve"}
    | {"task", "group", "observers"},
    {"cli", "__init__"},
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}

# What reads results never trains and never attacks.
READERS = {"reporting", "regression", "leaderboard"}
WORKERS = {"runner", "training", "evaluation", "methods", "models", "perturb"}

BASELINES_MAY_USE = {"types", "registry", "errors", "perturb", "methods"}


def imports(source: str, package: str) -> set[str]:
    """Dotted names that ``source``, a module of ``package``, imports, wherever in it they stand."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def rooms_used(source: str, package: str) -> set[str]:
    """The rooms of `regmix_bench` that ``source`` imports; the package itself is `__init__`."""
    used = set()
    for name in imports(source, package):
        parts = name.split(".")
        if parts[0] == "regmix_bench":
            known = len(parts) > 1 and (parts[1] in LEVEL or _is_module(parts[1]))
            used.add(parts[1] if known else "__init__")
    return used


def _is_module(name: str) -> bool:
    package = ROOT / "regmix_bench"
    return (package / name).is_dir() or (package / f"{name}.py").is_file()


def complaints(room: str, used: set[str]) -> list[str]:
    """One line for each import by which ``room`` breaks the direction."""
    broken = [f"{room} uses {name}, which stands in no layer" for name in used - LEVEL.keys()]
    known = used & LEVEL.keys()
    broken += [f"{room} points back to {name}" for name in known if LEVEL[name] > LEVEL[room]]
    if room in READERS:
        broken += [f"{room} reads results, yet uses {name}" for name in known & WORKERS]
    return sorted(broken)


def modules(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def _package(path: Path) -> str:
    return ".".join(path.parent.relative_to(ROOT).parts)


@pytest.mark.parametrize("path", modules("regmix_bench"), ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_points_back(path: Path) -> None:
    room = path.relative_to(ROOT / "regmix_bench").parts[0].removesuffix(".py")
    assert room in LEVEL, f"give {room} its layer in LAYERS"
    assert complaints(room, rooms_used(path.read_text(), _package(path))) == []


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
        ("perturb", "from regmix_bench.training import fit", "perturb points back to training"),
        ("data", "def f():\n    from regmix_bench import store", "data points back to store"),
        ("types", "import regmix_bench.cli", "types points back to cli"),
        ("store", "from regmix_bench import __version__", "store points back to __init__"),
        ("methods", "from ..runner import run", "methods points back to runner"),
        ("store", "from . import runner", "store points back to runner"),
        (
            "reporting",
            "if TYPE_CHECKING:\n    import regmix_bench.methods.regmix",
            "reporting reads results, yet uses methods",
        ),
    ],
)
def test_an_offender_is_named(room: str, source: str, complaint: str) -> None:
    package = f"regmix_bench.{room}" if source.startswith("from ..") else "regmix_bench"
    assert complaints(room, rooms_used(source, package)) == [complaint]


def test_every_layer_holds_real_modules() -> None:
    assert [room for room in LEVEL if not _is_module(room)] == []


def test_a_downward_import_passes() -> None:
    source = "import torch\nfrom regmix_bench import store\nfrom .types import RunSpec"
    used = rooms_used(source, "regmix_bench")
    assert used == {"store", "types"}
    assert complaints("runner", used) == []


def test_torch_waits_until_it_is_needed() -> None:
    """Listing, planning, reporting and checking start at once, also where torch is slow to load."""
    light = [
        "errors",
        "signals",
        "types",
        "statistics",
        "models",
        "store",
        "plan",
        "reporting",
        "regression",
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
