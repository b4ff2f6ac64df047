"""Processes that are killed, told to end, or started twice, at instants drawn from a seed."""

from __future__ import annotations

import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.harness import PAGES, Answer, Grid, answer, cli, recorded, saved, start, wait_for

Tell = Callable[[Answer, str], None]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_in_training(
    longer: Grid, tmp_path: Path, tell: Tell, number: signal.Signals, seed: int
) -> None:
    chance = random.Random(seed)
    grid = Grid(tmp_path)
    shutil.copy(longer.suite, grid.suite)
    epoch = chance.randint(1, 30)
    process = start(*grid.run)
    wait_for(lambda: saved(grid.results, epoch) or process.poll() is not None)
    time.sleep(chance.uniform(0, 0.1))
    process.send_signal(number)
    found = answer(process)
    assert found.status == (-9 if number == signal.SIGKILL else 143), found
    resumed = cli(*grid.run)
    assert resumed.status == 0 and "1 to resume" in resumed.out, resumed
    assert ("taken over from process" in resumed.out) == (number == signal.SIGKILL)
    assert recorded(grid.results) == recorded(longer.results)
    tell(found, f"epoch {epoch} and those before it; the end is that of an undisturbed run")


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_in_scoring_and_writing(
    begun: Grid, finished: Grid, tell: Tell, number: signal.Signals, seed: int
) -> None:
    chance = random.Random(seed)
    before = recorded(begun.results)
    process = start(*begun.run)
    # Training is over, so that scoring begins at once.
    wait_for(lambda: any(begun.results.rglob("scoring-*")) or process.poll() is not None)
    time.sleep(chance.uniform(0, 0.5))
    process.send_signal(number)
    found = answer(process)
    kept = recorded(begun.results)
    assert before.items() <= kept.items()
    resumed = cli(*begun.run)
    assert resumed.status == 0, resumed
    assert recorded(begun.results) == recorded(finished.results)
    tell(found, "every finished batch; the flags are those of an undisturbed run")


@pytest.mark.parametrize("seed", range(2))
def test_in_reporting(grid: Grid, finished: Grid, tell: Tell, seed: int) -> None:
    shutil.rmtree(grid.reports)
    process = start(*grid.report, *PAGES)
    wait_for(lambda: grid.reports.is_dir() or process.poll() is not None)
    time.sleep(random.Random(seed).uniform(0, 0.1))
    process.kill()
    found = answer(process)
    again = cli(*grid.report, *PAGES)
    assert again.status == 0, again
    names = sorted(
        p.relative_to(finished.reports) for p in finished.reports.rglob("*") if p.is_file()
    )
    assert names == sorted(
        p.relative_to(grid.reports) for p in grid.reports.rglob("*") if p.is_file()
    )
    for name in names:
        if name.name != "manifest.csv":
            assert (grid.reports / name).read_bytes() == (finished.reports / name).read_bytes(), (
                name
            )
    tell(found, "all records; the next report is whole, and nothing else lies beside it")


@pytest.mark.parametrize("jobs", [1, 2])
def test_two_launchers_on_one_grid(finished: Grid, tmp_path: Path, tell: Tell, jobs: int) -> None:
    grid = Grid(tmp_path)
    shutil.copy(finished.suite, grid.suite)
    both = [start(*grid.run, "--jobs", jobs) for _ in range(2)]
    found = [answer(process) for process in both]
    assert [one.status for one in found] == [0, 0], found
    assert recorded(grid.results) == recorded(finished.results)
    tell(found[1], "each run was trained once, and has the numbers of an undisturbed one")


def test_a_clock_that_goes_backwards(
    begun: Grid, finished: Grid, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(begun.results / "artifacts")
    seconds = iter(range(2_000_000_000, 0, -1_000))
    monkeypatch.setattr(time, "time", lambda: float(next(seconds)))
    found = cli(*begun.run)
    assert found.status == 0, found
    assert recorded(begun.results) == recorded(finished.results)
    assert not re.search(r" -\d", found.out)
    tell(found, "all: durations are taken from a clock that cannot be set")
