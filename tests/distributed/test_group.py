"""A group of processes: what ends it, and that nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml
from support.group_work import member, unfinished
from support.harness import SUITE, Answer, cli, recorded, start, wait_for

from regmix_bench.distributed.group import LostProcess, run_group
from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.grid.suite_files import load_suite
from regmix_bench.records import find, paths, store
from regmix_bench.runs import observers, runner, task
from regmix_bench.specs import RunSpec
from regmix_bench.system.files import CannotWrite
from regmix_bench.system.machine import check_devices, choose_execution

GRID = SUITE | {"methods": ["regmix"], "eval_examples": 40}


def quick_spec(**grid: Any) -> RunSpec:
    return plan([GRID | grid])[0]


def outcomes(results: Path, spec: RunSpec) -> pd.DataFrame:
    return pd.read_parquet(paths.outcomes_path(paths.record_path(results, spec), "selected"))


def test_the_command_on_two_devices_makes_the_run_of_one(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(GRID))
    (spec,) = plan(load_suite(str(suite)))
    records, names = [], []
    for devices in ("1", "2"):
        results = tmp_path / devices
        found = cli("run", suite, "--device", "cpu", "--devices", devices, "--results", results)
        assert (found.status, found.errors) == (0, ""), found
        assert "epoch 3/3" in found.out and "after apgd-ce" in found.out
        records.append(store.load_run(paths.record_path(results, spec)))
        names.append({path.name for path in results.rglob("*") if path.suffix != ".pt"})
    one, two = records
    assert one.run_id == two.run_id and names[0] == names[1]
    assert (one.environment["devices"], two.environment["devices"]) == (1, 2)
    assert [e.checkpoint for e in two.evaluations] == [e.checkpoint for e in one.evaluations]
    assert two.training_cost.forward_images == one.training_cost.forward_images
    assert two.training_cost.backward_images == one.training_cost.backward_images
    works = [log.work for record in records for log in record.history]
    assert len({(work.images, work.flop) for work in works if work is not None}) == 1
    assert None not in works and works[0].flop > 0


def test_two_score_what_one_has_trained_to_the_same_flags(tmp_path: Path) -> None:
    spec = quick_spec(evaluate="both")
    runner.run_spec(spec, tmp_path, device="cpu")
    alone = recorded(tmp_path), outcomes(tmp_path, spec)
    paths.record_path(tmp_path, spec).unlink()
    heard: list[str] = []

    class Ears(observers.Silent):
        def on_attack(self, spec: RunSpec, threat: str, attack: str, accuracy: float) -> None:
            heard.append(attack)

    runner.run_spec(spec, tmp_path, device="cpu", devices=2, observer=Ears())
    assert heard == ["apgd-ce", "apgd-ce"]
    assert recorded(tmp_path) == alone[0]
    pd.testing.assert_frame_equal(outcomes(tmp_path, spec), alone[1])


@pytest.mark.parametrize(
    ("how", "kind", "said"),
    [
        ("user error", CannotWrite, r"^the disk\nis full$"),
        ("bug", UserError, r"^ZeroDivisionError: out of luck$"),
        ("exit", LostProcess, r"^process 2 of 2 ended with exit code 3: the same command goes on"),
    ],
)
def test_what_went_wrong_in_a_process_is_raised_here(
    how: str, kind: type[Exception], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    heard: list[Any] = []
    with pytest.raises(kind, match=said) as raised:
        run_group(partial(member, how), 2, "cpu", heard.append)
    assert type(raised.value) is kind and heard == [how]
    if kind is not LostProcess:
        assert "in member" in str(raised.value.__cause__)  # the other process's traceback
    assert capfd.readouterr() == ("", "")


def test_what_has_to_be_finished_first_is_where_a_group_is_interrupted(tmp_path: Path) -> None:
    def interrupt(word: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_group(partial(unfinished, tmp_path), 2, "cpu", interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["0"]


def test_a_failure_of_a_group_is_recorded_with_what_was_trained(tmp_path, monkeypatch) -> None:
    spec = quick_spec()
    done = runner.run_spec(spec, tmp_path, device="cpu")
    paths.record_path(tmp_path, spec).unlink()

    def fail(*_: object) -> None:
        raise UserError("out of memory in scoring with batches of 500")

    monkeypatch.setattr(task, "run_group", fail)
    record = runner.run_spec(spec, tmp_path, device="cpu", devices=2)
    assert (record.status, record.error) == (
        "error",
        "out of memory in scoring with batches of 500",
    )
    assert (record.history, record.checkpoints) == (done.history, done.checkpoints)


def test_more_devices_than_there_are_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_devices(torch.device("cuda"), 2)
    with pytest.raises(UserError, match="has 2 CUDA devices; use 1 to 2"):
        check_devices(torch.device("cuda"), 3)
    with pytest.raises(UserError, match="processor cores; use 1 to"):
        check_devices(torch.device("cpu"), 10_000)


def test_batch_statistics_are_synchronised_on_several_gpus(monkeypatch) -> None:
    cuda = torch.device("cuda")
    assert choose_execution(cuda, 32, compile="off", devices=2).sync_bn
    assert not choose_execution(cuda, 32, compile="off").sync_bn
    assert not choose_execution(cuda, 32, compile="off", sync_bn="off", devices=2).sync_bn
    for device, devices in ((torch.device("cpu"), 2), (cuda, 1)):
        with pytest.raises(UserError, match="on several CUDA devices only"):
            choose_execution(device, 32, compile="off", sync_bn="on", devices=devices)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--devices", "0"), "devices 0: this machine has"),
        (("--devices", "x"), "invalid value for '--devices': Input should be a valid integer"),
        (("--devices", "100000"), "processor cores; use 1 to"),
        (("--devices", "2", "--sync-bn", "on"), "torch synchronises batch norm"),
        (("--devices", "2", "--sync-bn", "maybe"), "'maybe' is not one of 'auto', 'on', 'off'"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(tmp_path, options, said: str) -> None:
    given = ("--methods", "standard", "--eps", "8/255", "--results", tmp_path / "r")
    found = cli("run", *given, "--device", "cpu", *options)
    assert found.status == 2 and said in found.errors, found
    assert len(found.errors.splitlines()) == 1
    assert not list((tmp_path / "r").rglob("*.*"))


def test_a_batch_that_does_not_go_round_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    small = ("--set", "recipe.batch_size=2", "--devices", "3", "--device", "cpu")
    found = cli("run", "--methods", "standard", "--eps", "8/255", "--results", tmp_path, *small)
    assert found.status == 2 and "a batch of 2 images does not go round" in found.errors, found
    assert not list(tmp_path.rglob("*.*"))


def children(process: int) -> set[int]:
    """The processes that this one has started, and theirs."""
    try:
        text = Path(f"/proc/{process}/task").iterdir()
        direct = {int(c) for thread in text for c in (thread / "children").read_text().split()}
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return direct.union(*map(children, direct)) if direct else direct


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc")
def test_whatever_ends_a_group_leaves_nobody_and_the_run_resumes(tmp_path: Path) -> None:
    suite, results = tmp_path / "suite.yaml", tmp_path / "r"
    suite.write_text(yaml.safe_dump(GRID | {"recipe": SUITE["recipe"] | {"epochs": 100_000}}))
    specs = {spec.run_id: spec for spec in plan(load_suite(str(suite)))}
    (run_id,) = specs

    def latest() -> str:
        saved = paths.artifacts_dir(results, run_id).glob("state-*.pt")
        return max((path.name for path in saved), default="")

    def ended(end: Callable[[int, list[int]], None]) -> Answer:
        before = latest()
        command = ("run", suite, "--device", "cpu", "--devices", "2", "--results", results)
        parent = start(
            *command,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        wait_for(lambda: latest() > before, parent)
        group = sorted(children(parent.pid))
        assert len(group) >= 2
        end(parent.pid, group)
        out, errors = parent.communicate(timeout=120)
        wait_for(lambda: not any(map(alive, group)))
        assert find.states(specs, results) == {run_id: "to resume"}
        return Answer(parent.returncode, out, errors)

    def kill_one(parent: int, group: list[int]) -> None:
        os.kill(max(group), signal.SIGKILL)

    found = ended(kill_one)
    assert (found.status, found.errors) == (1, "")
    assert " of 2 was killed by signal 9 (Killed): the same command goes on" in found.out
    found = ended(lambda parent, group: os.killpg(parent, signal.SIGINT))  # as a terminal does
    line = "interrupted: the same command resumes at the last checkpoint\n"
    assert (found.status, found.errors) == (130, line)
    found = ended(lambda parent, group: os.kill(parent, signal.SIGKILL))
    assert (found.status, found.errors) == (-signal.SIGKILL, "")
