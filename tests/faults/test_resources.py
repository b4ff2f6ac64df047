"""Disks that are full or may not be written, and memory that is not there."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.harness import Answer, Grid, answer, cli, recorded, saved, start, wait_for

Tell = Callable[[Answer, str], None]

# Of Linux: prctl(2) and capabilities(7).
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system may not be mounted here")
    yield folder
    subprocess.run(("umount", "--lazy", str(folder)), check=True)


def test_a_full_disk(finished: Grid, small_disk: Path, tell: Tell) -> None:
    grid = Grid(small_disk)
    shutil.copy(finished.suite, grid.suite)
    found = cli(*grid.run)
    assert found.status == 2 and "No space left on device" in found.out + found.errors, found
    subprocess.run(("mount", "-o", "remount,size=50m", str(small_disk)), check=True)
    again = cli(*grid.run)
    assert again.status == 0, again
    assert recorded(grid.results) == recorded(finished.results)
    tell(found, "what was finished; with room the same command ends as if nothing had been")


@pytest.mark.parametrize("size", [2_000, 100_000])
def test_a_limit_on_the_size_of_files(
    finished: Grid, tmp_path: Path, tell: Tell, size: int
) -> None:
    grid = Grid(tmp_path)
    shutil.copy(finished.suite, grid.suite)
    limited = start(
        *grid.run, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    )
    found = answer(limited)
    assert found.status == 2 and "File too large" in found.out + found.errors, found
    again = cli(*grid.run)
    assert again.status == 0, again
    assert recorded(grid.results) == recorded(finished.results)
    tell(found, "what was finished; without the limit the same command ends as if nothing had been")


def test_a_folder_that_may_not_be_written(grid: Grid, small_disk: Path, tell: Tell) -> None:
    shutil.copytree(grid.results / "digits", small_disk / "results" / "digits")
    before = recorded(small_disk / "results")
    subprocess.run(("mount", "-o", "remount,ro", str(small_disk)), check=True)
    found = cli("run", "--methods", "pgd-at", "--eps", "8/255", "--results", small_disk / "results")
    assert found.status == 2 and "Read-only file system" in found.errors, found
    assert recorded(small_disk / "results") == before
    reports = small_disk / "reports"
    refused = cli(
        "report", "--results", small_disk / "results", "--out", reports, "--format", "csv"
    )
    assert refused.status == 2 and "Read-only file system" in refused.errors, refused
    tell(found, "all records")


def test_a_record_that_may_not_be_read(
    grid: Grid, tell: Tell, refuse_reading: Callable[[Path], None]
) -> None:
    path = next(iter(sorted((grid.results / "digits").rglob("*.json"))))
    refuse_reading(path)
    found = cli(*grid.report, "--format", "csv")
    assert found.status == 2 and str(path) in found.errors, found
    tell(found, "all records, and the report of before")


def bound_by_permissions() -> None:
    """Let the process to be obey what files permit, which root need not."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def test_permission_is_lost_in_training(longer: Grid, tmp_path: Path, tell: Tell) -> None:
    grid = Grid(tmp_path)
    shutil.copy(longer.suite, grid.suite)
    process = start(*grid.run, preexec_fn=bound_by_permissions)
    wait_for(lambda: saved(grid.results, 5) or process.poll() is not None)
    (folder,) = (path for path in (grid.results / "artifacts").iterdir() if path.is_dir())
    folder.chmod(0o500)
    found = answer(process)
    folder.chmod(0o700)
    # As whatever comes first says it, a writing or a removing.
    assert re.search("Permission denied|may not be read or written", found.errors), found
    assert found.status == 2 and len(found.errors.splitlines()) == 1, found
    resumed = cli(*grid.run)
    assert resumed.status == 0 and "1 to resume" in resumed.out, resumed
    assert recorded(grid.results) == recorded(longer.results)
    tell(found, "the newest state; with permission the same command goes on")


def test_a_state_that_may_not_be_read(begun: Grid, finished: Grid, tell: Tell) -> None:
    paths = list(begun.results.rglob("state-*"))
    for path in paths:
        path.chmod(0)
    found = answer(start(*begun.run, preexec_fn=bound_by_permissions))
    assert found.status == 2 and "may not be read" in found.errors, found
    for path in paths:
        path.chmod(0o600)
    again = cli(*begun.run)
    assert again.status == 0 and "going back" not in again.out, again
    assert recorded(begun.results) == recorded(finished.results)
    tell(found, "the state, which is whole: with permission the same command goes on from it")


def test_memory_that_is_not_there(tmp_path: Path, tell: Tell) -> None:
    data = tmp_path / "large.npz"
    images = np.random.default_rng(0).integers(0, 256, (400, 128, 128, 3), np.uint8)
    labels = np.arange(400) % 2
    test = {"test_images": images[:20], "test_labels": labels[:20]}
    np.savez(data, train_images=images, train_labels=labels, **test)
    # Enough for torch and the network, not for what 300 images leave on their way through it.
    room = 8 * 2**30
    limited = start(
        *("run", "--methods", "standard", "--datasets", f"npz:{data}", "--archs", "resnet18"),
        *("--set", "recipe.batch_size=300", "--device", "cpu", "--results", tmp_path / "results"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (room, room)),
    )
    found = answer(limited)
    assert found.status == 1, found
    assert "out of memory in training with batches of 300: --set recipe.batch_size=150" in found.out
    tell(found, "the record of the failure, which names the batch and a smaller one")
