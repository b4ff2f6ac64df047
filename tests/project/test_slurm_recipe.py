"""The recipe for Slurm, as far as a machine without Slurm can run it: its commands are stand-ins.

Ray and the grid are real: a head and a worker of Ray on this machine, as if on two nodes.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.harness import SUITE, cli, recorded
from support.synthetic import unmeasured

pytestmark = pytest.mark.alone

RECIPE = Path(__file__).parents[2] / "examples" / "slurm.sbatch"

#: What the recipe finds on its PATH: of Slurm, what it asks of it; else what an environment has.
COMMANDS = {
    "srun": 'echo "$@" >>"$CALLS/srun"\nwhile [[ $1 == --* ]]; do shift; done\nexec "$@"',
    "scontrol": 'echo "$@" >>"$CALLS/scontrol"\n[ "$1" != show ] || printf "%s\\n" $NODES',
    "ray": f'exec "{sys.executable}" -m ray.scripts.scripts "$@"',
    "regmix-bench": f'exec "{sys.executable}" -m regmix_bench.cli "$@"',
    "python": f'exec "{sys.executable}" "$@"',
}


def test_it_is_clean() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    found = subprocess.run(("shellcheck", RECIPE), capture_output=True, text=True)
    assert found.returncode == 0, found.stdout


class Job:
    """A folder to send the recipe from, with what Slurm would give it."""

    def __init__(self, folder: Path, ray_folder: str) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[str]] = []
        commands = folder / "bin"
        commands.mkdir()
        for name, body in COMMANDS.items():
            (commands / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
            (commands / name).chmod(0o755)
        self.environment = unmeasured() | {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "CALLS": str(folder),
            "NODES": "127.0.0.1 localhost",
            "SLURM_JOB_NODELIST": "one[1-2]",
            "SLURM_JOB_ID": str(free_port() - 20_000),
            "SLURM_CPUS_PER_TASK": "1",
            "RAY_TMPDIR": ray_folder,  # so that none takes this cluster for the machine's own
            "RAY_worker_niceness": "0",  # else workers stand still on a busy machine
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started = subprocess.Popen(
            ("bash", RECIPE, *arguments),
            cwd=self.folder,
            env=self.environment,
            text=True,
            start_new_session=True,
            **pipes,
        )
        self.processes.append(started)
        return started

    def end(self) -> None:
        """Kill what a failed test leaves."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def calls(self, command: str) -> list[str]:
        return (self.folder / command).read_text().splitlines()


def free_port() -> int:
    """One of those that the recipe takes by the number of the job."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)):
                return port


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Job]:
    pytest.importorskip("ray", reason="ray is not installed")
    # Not below tmp_path: the names of Ray's sockets would be too long.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        job = Job(tmp_path, folder)
        yield job
        job.end()
        assert not running(folder), "the cluster has outlived the job"


def running(ray_folder: str) -> list[str]:
    """Processes of the cluster; they end soon after it is told to."""
    deadline = time.monotonic() + 120
    while True:
        left = [
            path.parent.name
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if ray_folder.encode() in read(path)
        ]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def test_a_grid_that_runs_out_of_time_and_is_queued_again(job: Job) -> None:
    grid = SUITE | {"methods": ["fgsm-rs"], "seeds": [0, 1]}
    grid["recipe"] = SUITE["recipe"] | {"epochs": 60}
    suite = job.folder / "suite.yaml"
    suite.write_text(yaml.safe_dump(grid))
    options = ("suite.yaml", "--device", "cpu")

    process = job.start(*options)
    deadline = time.monotonic() + 200
    while len({path.parent for path in (job.folder / "results").rglob("state-*")}) < 2:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 143, (out, errors)
    assert "terminated: the same command goes on from what is finished" in errors
    assert "Traceback" not in out + errors
    assert job.calls("scontrol")[-1] == f"requeue {job.environment['SLURM_JOB_ID']}"
    head, workers = job.calls("srun")
    assert "--nodelist=127.0.0.1" in head and "--exclude=127.0.0.1" in workers

    process = job.start(*options)
    out, errors = process.communicate(timeout=200)
    assert process.returncode == 0, (out, errors)
    assert "2 to resume" in out and "Traceback" not in out + errors
    assert cli("run", suite, "--device", "cpu", "--results", job.folder / "local").status == 0
    assert recorded(job.folder / "results") == recorded(job.folder / "local")
