"""What every scenario of the fault harness has, and the table of what came of them all.

pytest tests/faults --fault-table tests/faults/README.md
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.harness import LONGER, PAGES, SUITE, Answer, Grid, cli

from regmix_bench.reporting.formats.cells import markdown
from regmix_bench.reporting.values import Cell, Column, Table

#: The property of a test that says what came of its scenario; it comes back from every process.
FAULT = "fault"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """A grid that went undisturbed, with its leaderboard and its report. Not to be changed."""
    grid = Grid(tmp_path_factory.mktemp("finished"))
    grid.suite.write_text(yaml.safe_dump(SUITE))
    assert cli(*grid.run).status == 0
    leaderboard = grid.results / "leaderboard.json"
    allow = ("--allow", "square-stronger-than-white-box")
    assert cli("check", "--update", "--results", grid.results, "--reference", leaderboard, *allow)
    report = cli(*grid.report, *PAGES)
    assert report.status == 0, report
    return grid


@pytest.fixture(scope="session")
def longer(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    """A run of forty epochs that went undisturbed."""
    grid = Grid(tmp_path_factory.mktemp("longer"))
    grid.suite.write_text(yaml.safe_dump(LONGER))
    assert cli(*grid.run).status == 0
    return grid


@pytest.fixture
def grid(finished: Grid, tmp_path: Path) -> Grid:
    """A copy of the finished grid, to be hurt."""
    shutil.copytree(finished.folder, tmp_path / "grid")
    return Grid(tmp_path / "grid")


@pytest.fixture
def begun(grid: Grid) -> Grid:
    """The grid with one of its runs not finished: trained, but without a record."""
    stem = grid.one("fgsm-rs-*.json").stem
    for path in grid.results.rglob(f"{stem}*"):
        path.unlink()
    return grid


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[Answer, str], None]:
    """Note what came of a scenario; fails it where the user saw a traceback."""

    def note(found: Answer, outcome: str) -> None:
        assert "Traceback" not in found.out + found.errors, found
        # -15: asked to end when it was over, and Python no longer listened.
        assert found.status in (-15, -9, 0, 1, 2, 130, 143), found
        scenario = request.node.name.removeprefix("test_").replace("_", " ")
        said = found.words.replace(str(request.getfixturevalue("tmp_path")), "…")
        said = re.sub(r"process \d+ on [^ ,]+", "process … on …", said)
        row = (scenario, f"{found.status}: {said[:160]}", outcome)
        request.node.user_properties.append((FAULT, row))

    return note


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fault-table", help="Write the table of all scenarios to this file.")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reports = [one for group in terminalreporter.stats.values() for one in group]
    called = [one for one in reports if getattr(one, "when", None) == "call"]
    said = (value for one in called for name, value in one.user_properties if name == FAULT)
    rows = sorted(map(tuple, said))
    if not rows:
        return
    terminalreporter.section(f"{len(rows)} faults, and what came of them")
    for row in rows:
        terminalreporter.line(" | ".join(row))
    if path := config.getoption("--fault-table", default=None):
        header = ("Scenario", "Exit status and last line", "What was kept")
        table = Table(
            f"{len(rows)} faults, and what came of them. Made by pytest tests/faults"
            " --fault-table tests/faults/README.md.",
            tuple(Column(name, name) for name in header),
            tuple(tuple(map(Cell, row)) for row in rows),
        )
        Path(path).write_text("# Faults\n\n" + markdown(table).replace("---:", ":---"))


@pytest.fixture
def unharmed(tmp_path: Path) -> Iterator[Path]:
    """A path that hostile content tries to make; afterwards it must not be there."""
    path = tmp_path / "harm"
    yield path
    assert not path.exists(), "foreign code has run"
    assert not os.path.lexists("harm")
