"""Several runs at a time: the same numbers, and nobody left behind however one of them dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.harness import allow_interrupt, start, wait_for
from support.synthetic import make_record, make_spec
from support.workers import mortal, patient, refused

from regmix_bench.errors import UserError
from regmix_bench.grid.launchers import Placement
from regmix_bench.grid.local import auto_jobs, launch, parse_jobs
from regmix_bench.grid.plan import PlannedRun, plan, plan_runs
from regmix_bench.grid.suite_files import load_suite
from regmix_bench.records import find, paths, store
from regmix_bench.records.progress import Progress
from regmix_bench.records.schema import EpochLog
from regmix_bench.runs.observers import Ending, Silent
from regmix_bench.specs import RunSpec

QUICK: dict[str, Any] = {
    "methods": ["fgsm-rs"],
    "eps": ["32/255"],
    "seeds": [0, 1],
    "train_examples": 100,
    "eval_examples": 10,
    "recipe": {"epochs": 2, "schedule": "cosine", "augmentation": "none", "precision": "fp32"},
    "scoring": {"autoattack_version": "custom", "attacks": ["apgd-ce"]},
}


class Heard(Silent):
    """An observer that remembers what it is told, as (event, seed, details)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int, Any]] = []
        self.stages: dict[int, dict[str, float]] = {}  # the last share of each stage

    def on_start(self, spec: RunSpec) -> None:
        self.events.append(("start", spec.seed, None))

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        self.events.append(("epoch", spec.seed, log.epoch))

    def on_progress(self, spec: RunSpec, progress: Progress) -> None:
        self.stages.setdefault(spec.seed, {})[progress.attack or progress.stage] = progress.share

    def on_attack(self, spec: RunSpec, threat: str, attack: str, accuracy: float) -> None:
        self.events.append(("attack", spec.seed, (threat, attack, accuracy)))

    def on_note(self, spec: RunSpec, line: str) -> None:
        self.events.append(("note", spec.seed, line))


def place(jobs: int) -> Placement:
    return Placement(Path(), torch.device("cpu"), jobs)


def cells(*seeds: int) -> list[PlannedRun]:
    return [PlannedRun(make_spec(seed=seed), "trades") for seed in seeds]


def numbers(results: Path) -> list[dict[str, Any]]:
    """All records without what the clock decides."""
    found = []
    for path in store.record_files(results):
        content = store.load_record(path).model_dump(mode="json")
        for log in content["history"]:
            del log["seconds"], log["work"]["product"], log["work"]["processor_seconds"]
        for cost in ("training_cost", "scoring_cost"):
            del content[cost]["seconds"]
        found.append(content)
    return found


def test_two_jobs_give_the_numbers_of_one(tmp_path: Path) -> None:
    planned = plan_runs([QUICK])
    heard = {}
    for jobs in (1, 2):
        display = Heard()
        work = partial(PlannedRun.run, results=tmp_path / str(jobs), device="cpu")
        ended = list(launch(planned, work, place(jobs), display))
        heard[jobs] = sorted(display.events, key=lambda event: event[1])
        assert [run.error for run in ended] == [None, None]
        assert all(run.record and run.record.evaluations for run in ended)
        for stages in (display.stages[0], display.stages[1]):
            assert list(stages) == ["training", "clean", "pgd", "apgd-ce"]
            assert 0 < stages["training"] < stages["apgd-ce"] < 1

    alone, together = numbers(tmp_path / "1"), numbers(tmp_path / "2")
    assert len(alone) == 2 and alone[0]["evaluations"][0]["outcomes_digest"]
    assert together == alone
    events = [(name, seed) for name, seed, _ in heard[1]]
    assert events == [(e, s) for s in (0, 1) for e in ("start", "epoch", "epoch", "attack")]
    assert heard[2] == heard[1]


def test_a_dead_worker_costs_its_run_and_the_others_go_on(monkeypatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    display = Heard()
    ended = {run.spec.seed: run for run in launch(cells(0, 1, 2, 3, 4), mortal, place(2), display)}

    assert ended.pop(0).error == "its process was killed by signal 9 (Killed)"
    assert ended.pop(1).error == "its process ended with exit code 3"
    assert ended == {
        seed: Ending(spec := make_spec(seed=seed), make_record(spec)) for seed in (2, 3, 4)
    }
    told = [details for event, _, details in display.events if event == "attack"]
    assert {(reference, threads) for reference, _, threads in told} == {("trades", 2)}
    # A worker takes one run after another, and is not the parent.
    processes = {process for _, process, _ in told}
    assert len(told) == 3 and len(processes) <= 2 and f"process {os.getpid()}" not in processes


def test_bad_input_found_by_a_worker_ends_them_all(tmp_path: Path) -> None:
    display = Heard()
    planned = [PlannedRun(make_spec(seed=seed), str(tmp_path / "begun")) for seed in (0, 1)]
    with pytest.raises(UserError, match="no such data"):
        list(launch(planned, refused, place(2), display))
    (process,) = (details[2] for _, _, details in display.events if details)
    assert not alive(process)


def test_a_worker_that_is_ended_finishes_what_it_has_to(tmp_path: Path) -> None:
    planned = [PlannedRun(make_spec(seed=seed), str(tmp_path)) for seed in (0, 1)]
    with pytest.raises(UserError, match="no such data"):
        list(launch(planned, patient, place(2), Heard()))
    assert {path.name for path in tmp_path.iterdir()} == {"begun", "ended-0", "ended-1"}


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", "", "Auto", "9" * 5000])
def test_jobs_that_are_no_number_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"not a number above zero: write it like 2, or auto$"):
        parse_jobs(text)


def test_auto_gives_each_thread_a_run_and_a_gpu_one(monkeypatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert parse_jobs("auto") is None and parse_jobs("2") == 2
    assert auto_jobs(torch.device("cpu")) == 3
    assert auto_jobs(torch.device("cpu"), devices=2) == 1
    assert auto_jobs(torch.device("cpu"), devices=4) == 1
    assert auto_jobs(torch.device("cuda")) == 1


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"  # dead, though nobody has asked after it yet


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_interrupt_and_kill_leave_no_worker_and_lose_nothing(tmp_path: Path) -> None:
    grid = QUICK | {"recipe": QUICK["recipe"] | {"epochs": 100_000}}
    suite, results = tmp_path / "suite.yaml", tmp_path / "results"
    suite.write_text(yaml.safe_dump(grid))
    specs = plan(load_suite(str(suite)))
    logs = [paths.artifacts_dir(results, spec.run_id) / "train.jsonl" for spec in specs]
    command = ("run", suite, "--jobs", "2", "--device", "cpu", "--results", results)

    def epochs() -> list[int]:
        return [log.read_bytes().count(b"\n") if log.exists() else 0 for log in logs]

    def begin() -> tuple[subprocess.Popen[str], list[int]]:
        """The command and its workers, when each has trained beyond what there was before."""
        before = epochs()
        parent = start(
            *command,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=allow_interrupt,
        )

        def trained() -> bool:
            return all(now > then for now, then in zip(epochs(), before, strict=True))

        wait_for(trained, parent)
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text()
        workers = [int(process) for process in children.split()]
        assert len(workers) >= 2 and all(map(alive, workers))
        return parent, workers

    parent, workers = begin()
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does
    _, errors = parent.communicate(timeout=120)
    assert parent.returncode == 130
    assert errors == "interrupted: the same command resumes at the last checkpoint\n"
    wait_for(lambda: not any(map(alive, workers)))

    parent, workers = begin()
    parent.kill()
    _, errors = parent.communicate(timeout=120)
    wait_for(lambda: not any(map(alive, workers)))
    assert errors == ""
    assert not store.record_files(results)
    states = find.states({spec.run_id: spec for spec in specs}, results)
    assert set(states.values()) == {"to resume"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_depends_on_others_is_asked_for_once_these_have_ended(jobs: int) -> None:
    known: list[int] = []
    asked: list[list[int]] = []

    def dependent() -> Iterator[PlannedRun]:
        for cell in cells(2, 3, 4, 5):
            asked.append(list(known))
            yield cell

    for ended in launch(dependent(), mortal, place(jobs), Heard()):
        known.append(ended.spec.seed)
    assert sorted(known) == [2, 3, 4, 5]
    assert [len(before) for before in asked] == ([0, 1, 2, 3] if jobs == 1 else [0, 0, 1, 2])
