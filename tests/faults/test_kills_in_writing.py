"""SIGKILL at the worst instants of writing: when a file is whole but has no name yet, and after."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.harness import PAGES, Answer, Grid, answer, cli, recorded, start

Tell = Callable[[Answer, str], None]

#: The command line, killed at the renaming of the first file whose path ends so.
KILLED = """
import os, signal, sys
from regmix_bench.cli import main

end, when = sys.argv.pop(1), sys.argv.pop(1)
rename = os.replace

def replace(source, target):
    ours = str(target).endswith(end)
    if not ours or when == "after":
        rename(source, target)
    if ours:
        os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace
main()
"""


def killed(end: str, when: str, *arguments: object) -> Answer:
    found = answer(start(*arguments, program=(sys.executable, "-c", KILLED, end, when)))
    assert found.status == -9, found
    return found


@pytest.mark.parametrize(
    ("end", "when"),
    [
        ("selected.outcomes.parquet", "before"),
        ("outputs.parquet", "before"),
        ("views.safetensors", "after"),
        (".json", "before"),
        (".json", "after"),
    ],
)
def test_in_writing_of_a_record(
    begun: Grid, finished: Grid, tell: Tell, end: str, when: str
) -> None:
    before = recorded(begun.results)
    found = killed(end, when, *begun.run)
    assert before.items() <= recorded(begun.results).items()
    again = cli(*begun.run)
    assert again.status == 0, again
    assert recorded(begun.results) == recorded(finished.results)
    assert not list(begun.results.rglob(".tmp-*"))
    tell(found, "every record of before; the same command ends with the same numbers")


@pytest.mark.parametrize("end", ["state-0001", "state-0003", "last-0003.safetensors"])
def test_in_writing_of_a_training(grid: Grid, finished: Grid, tell: Tell, end: str) -> None:
    shutil.rmtree(grid.results)
    # The name of a state goes on with its digest.
    program = KILLED.replace("str(target).endswith(end)", "end in str(target)")
    found = answer(start(*grid.run, program=(sys.executable, "-c", program, end, "before")))
    assert found.status == -9, found
    again = cli(*grid.run)
    assert again.status == 0, again
    assert recorded(grid.results) == recorded(finished.results)
    assert not list(grid.results.rglob(".tmp-*"))
    tell(found, "every epoch of before; the same command ends with the same numbers")


@pytest.mark.parametrize("end", ["index.html", "manifest.csv"])
def test_in_writing_of_a_report(grid: Grid, finished: Grid, tell: Tell, end: str) -> None:
    found = killed(end, "before", *grid.report, *PAGES)
    again = cli(*grid.report, *PAGES)
    assert again.status == 0, again
    assert content(grid.reports) == content(finished.reports)
    tell(found, "all records, and the file of before; the next report is whole")


def test_in_writing_of_a_leaderboard(grid: Grid, tell: Tell) -> None:
    path = grid.results / "leaderboard.json"
    before = path.read_bytes()
    options = ("--results", grid.results, "--reference", path)
    update = ("check", "--update", "--allow", "square-stronger-than-white-box", *options)
    found = killed("leaderboard.json", "before", *update)
    assert path.read_bytes() == before
    assert cli(*update).status == 0
    tell(found, "the leaderboard of before")


def content(folder: Path) -> dict[Path, bytes]:
    """Of all but the manifest, which names the results folder's own paths and times."""
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.csv"
    }
