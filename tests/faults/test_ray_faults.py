"""Processes of a cluster that are killed: a run's worker, its node, and the driver itself."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support.harness import LONGER, Answer, Grid, answer, cli, recorded, start, wait_for

pytestmark = pytest.mark.alone

ray = pytest.importorskip("ray", reason="ray is not installed")

Tell = Callable[[Answer, str], None]

SUITE = LONGER | {"seeds": [0, 1], "recipe": LONGER["recipe"] | {"epochs": 20}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Grid:
    grid = Grid(tmp_path_factory.mktemp("undisturbed"))
    grid.suite.write_text(yaml.safe_dump(SUITE))
    assert cli(*grid.run).status == 0
    return grid


@pytest.fixture
def fresh(undisturbed: Grid, tmp_path: Path) -> Grid:
    grid = Grid(tmp_path / "grid")
    grid.folder.mkdir()
    shutil.copy(undisturbed.suite, grid.suite)
    return grid


def worker(grid: Grid, reached: str) -> int:
    """The process that works on a run which has a file of this name; its lock says which."""
    holders: list[int] = []

    def found() -> bool:
        for path in grid.results.rglob(reached):
            folder = next(parent for parent in path.parents if parent.parent.name == "artifacts")
            named = re.match(r"process (\d+) ", (folder / "lock").read_text())
            if named:
                holders.append(int(named[1]))
        return bool(holders)

    wait_for(found)
    return holders[0]


@pytest.mark.parametrize("reached", ["state-*", "scoring-*/*"])
def test_a_worker_of_ray_is_killed(
    fresh: Grid, undisturbed: Grid, tell: Tell, reached: str
) -> None:
    process = start(*fresh.run, "--launcher", "ray", "--jobs", "2")
    os.kill(worker(fresh, reached), signal.SIGKILL)
    found = answer(process)
    assert found.status == 0, found
    assert recorded(fresh.results) == recorded(undisturbed.results)
    assert "its worker was lost: started again" in found.out
    tell(
        found,
        "the newest state and every batch that was finished; the same grid ends, with the same"
        " numbers",
    )


def test_the_driver_of_a_cluster_is_killed(tmp_path: Path, tell: Tell) -> None:
    # A cluster takes seconds to notice: the run has to take longer.
    suite = SUITE | {"seeds": [0], "recipe": SUITE["recipe"] | {"epochs": 800}}
    killed, undisturbed = Grid(tmp_path / "killed"), Grid(tmp_path / "undisturbed")
    for grid in (killed, undisturbed):
        grid.folder.mkdir()
        grid.suite.write_text(yaml.safe_dump(suite))
    process = start(*killed.run, "--launcher", "ray", "--jobs", "2")
    trainer = worker(killed, "state-*")
    process.kill()
    found = answer(process)
    wait_for(lambda: not Path(f"/proc/{trainer}").exists())
    again = cli(*killed.run)
    assert again.status == 0 and "taken over from process" in again.out, again
    assert cli(*undisturbed.run).status == 0
    assert recorded(killed.results) == recorded(undisturbed.results)
    tell(found, "the newest state; no worker stays, and the local launcher goes on")


def test_a_local_and_a_ray_launcher_on_one_grid(fresh: Grid, undisturbed: Grid, tell: Tell) -> None:
    ours = start(*fresh.run, "--launcher", "ray", "--jobs", "2")
    worker(fresh, "state-*")
    theirs = cli(*fresh.run)
    found = answer(ours)
    assert found.status == theirs.status == 0, (found, theirs)
    assert "left to process" in theirs.out
    assert recorded(fresh.results) == recorded(undisturbed.results)
    tell(theirs, "each run was trained once, and has the numbers of an undisturbed one")


def test_a_node_is_lost(
    fresh: Grid, undisturbed: Grid, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # else workers stand still on a busy machine
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    try:
        node = cluster.add_node(num_cpus=2)
        cluster.wait_for_nodes()
        process = start(*fresh.run, "--launcher", "ray", "--address", cluster.address)
        worker(fresh, "state-*")
        cluster.remove_node(node, allow_graceful=False)
        cluster.add_node(num_cpus=2)
        found = answer(process)
    finally:
        cluster.shutdown()
    assert found.status == 0, found
    assert recorded(fresh.results) == recorded(undisturbed.results)
    assert "its worker was lost: started again" in found.out
    tell(found, "the newest state; another node goes on, and the numbers are the same")
