"""A small finished grid to hurt, and the command line to hurt it with."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

from regmix_bench.cli import main
from support.synthetic import unmeasured

PAGES = ("--format", "csv,html")
SUITE: dict[str, Any] = {
    "methods": ["fgsm-rs", "standard"],
    "eps": ["32/255"],
    "eval_eps": ["96/255"],  # beyond what is trained for: AutoAttack is over in a second
    "train_examples": 100,
    "eval_examples": 20,
    "recipe": {"epochs": 3, "schedule": "cosine", "augmentation": "none", "precision": "fp32"},
    "scoring": {"autoattack_version": "custom", "attacks": ["apgd-ce"], "autoattack_batch_size": 8},
}


#: One run, long enough to be interrupted anywhere.
LONGER = SUITE | {"methods": ["fgsm-rs"], "recipe": SUITE["recipe"] | {"epochs": 40}}


@dataclass(frozen=True)
class Answer:
    """How a command ended, and what the user saw."""

    status: int
    out: str
    errors: str

    @property
    def words(self) -> str:
        """The line that says what was wrong: the last on standard error, else of the output."""
        return (self.errors.strip() or self.out.strip()).rpartition("\n")[2]


def cli(*arguments: object) -> Answer:
    """The command line in this process; an exception that leaves it is a traceback."""
    out, errors = io.StringIO(), io.StringIO()
    status: Any = 0
    before = signal.getsignal(signal.SIGTERM)
    with (
        patch.object(sys, "argv", ["regmix-bench", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        finally:
            signal.signal(signal.SIGTERM, before)
    return Answer(int(status), out.getvalue(), errors.getvalue())


COMMAND = (sys.executable, "-m", "regmix_bench.cli")


def start(
    *arguments: object,
    program: Sequence[str] = COMMAND,
    env: Mapping[str, str] = MappingProxyType({}),
    **options: Any,
) -> subprocess.Popen[str]:
    """The command line, or another program, in a process of its own, with pipes.

    ``env`` is added to the environment of the tests.
    """
    command = [*program, *map(str, arguments)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, env=unmeasured() | dict(env), text=True, **options)


def allow_interrupt() -> None:
    """Undo in a child what a shell does to its background jobs, which ignore the interrupt."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def answer(process: subprocess.Popen[str], seconds: float = 120) -> Answer:
    """How the process ends, which it has to do soon."""
    try:
        out, errors = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return Answer(process.returncode, out or "", errors or "")


def wait_for(reached: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Return as soon as it is, which has to be soon, and before ``process`` ends."""
    deadline = time.monotonic() + 120
    while not reached():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.005)


def saved(results: Path, epoch: int) -> bool:
    """Whether a state of this epoch or a later one is on disk; not every epoch's is written."""
    return any(int(path.name[6:10]) >= epoch for path in results.rglob("state-*"))


def recorded(results: Path) -> dict[str, Any]:
    """What the records say, without what the clock or the machine decides."""
    found = {}
    for path in sorted(results.rglob("*.json")):
        if "artifacts" in path.parts or path.parent == results:
            continue
        content = json.loads(path.read_text())
        del content["environment"]
        for log in content["history"]:
            del log["seconds"], log["work"]["product"], log["work"]["processor_seconds"]
        for cost in ("training_cost", "scoring_cost"):
            del content[cost]["seconds"]
        found[path.relative_to(results).as_posix()] = content
    return found


@dataclass(frozen=True)
class Grid:
    """A suite and its results; every command of a scenario works on these."""

    folder: Path

    @property
    def suite(self) -> Path:
        return self.folder / "suite.yaml"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def reports(self) -> Path:
        return self.folder / "reports"

    @property
    def run(self) -> tuple[object, ...]:
        return ("run", self.suite, "--device", "cpu", "--results", self.results)

    @property
    def report(self) -> tuple[object, ...]:
        return ("report", "--results", self.results, "--out", self.reports)

    def one(self, pattern: str) -> Path:
        """The first file below the results of this name, which has to be there."""
        return sorted(self.results.rglob(pattern))[0]
