"""One run from specification to record, and what is left when its process is killed."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from support.harness import allow_interrupt, answer, start, wait_for
from support.synthetic import unmeasured
from torch import nn

from regmix_bench.errors import UserError
from regmix_bench.grid.plan import plan
from regmix_bench.grid.suite_files import load_suite
from regmix_bench.loading.runs import find_checkpoint
from regmix_bench.loading.trained import load_model
from regmix_bench.methods import METHODS
from regmix_bench.methods.protocol import Method
from regmix_bench.models.weights import load_checkpoint
from regmix_bench.records import find, paths, store
from regmix_bench.records.locks import Busy, run_lock
from regmix_bench.records.outcomes import read_images, require_files
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.views import read_views
from regmix_bench.runs import observers, runner, task
from regmix_bench.specs import RunSpec
from regmix_bench.specs.tricks import Tricks
from regmix_bench.training.trainer import Trainer
from regmix_bench.training.validation import HeldOutAccuracy, Validation
from regmix_bench.types import TRAINED, Frozen, StepOutput

#: AutoAttack is over at once where nothing holds: at half the range of a pixel.
QUICK: dict[str, Any] = {
    "methods": ["standard"],
    "eps": ["128/255"],
    "train_examples": 100,
    "eval_examples": 10,
    "recipe": {"epochs": 2, "schedule": "cosine", "augmentation": "none", "precision": "fp32"},
}


def quick_spec(**grid: Any) -> RunSpec:
    return plan([QUICK | grid])[0]


def numbers(record: RunRecord) -> dict[str, Any]:
    """The record without what the clock or the machine decides."""
    content = record.model_dump(mode="json", exclude={"environment"})
    for log in content["history"]:
        del log["seconds"], log["work"]["product"], log["work"]["processor_seconds"]
    for cost in ("training_cost", "scoring_cost"):
        del content[cost]["seconds"]
    return content


def begin(suite: Path, results: Path, *options: str) -> subprocess.Popen[str]:
    """`regmix-bench run SUITE` in a process of its own."""
    command = ("run", suite, *options, "--device", "cpu", "--results", results)
    return start(*command, preexec_fn=allow_interrupt)


def test_a_run_killed_twice_ends_with_the_numbers_of_an_undisturbed_one(tmp_path: Path) -> None:
    # A budget beyond what was trained for: AutoAttack takes a second, not a minute.
    grid = QUICK | {"methods": ["fgsm-pgk"], "eps": ["16/255"], "eval_eps": ["96/255"]}
    grid |= {"train_examples": 600, "eval_examples": 60}
    grid["recipe"] = QUICK["recipe"] | {"epochs": 8, "augmentation": "crop"}
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(grid))
    (spec,) = plan(load_suite(str(suite)))
    results = tmp_path / "killed"
    chance = random.Random(0)

    log = paths.artifacts_dir(results, spec.run_id) / "train.jsonl"
    epoch = chance.randint(1, 6)
    training = begin(suite, results)
    wait_for(lambda: log.exists() and len(log.read_bytes().splitlines()) >= epoch, training)
    wait_for(lambda: any(log.parent.glob("state-*.pt")), training)
    time.sleep(chance.uniform(0, 0.2))
    training.kill()
    answer(training)
    assert find.states({spec.run_id: spec}, results) == {spec.run_id: "to resume"}

    scoring = begin(suite, results)
    wait_for((log.parent / "last-0008.safetensors").exists, scoring)
    time.sleep(chance.uniform(0.02, 0.2))
    scoring.kill()
    answer(scoring)
    assert find.states({spec.run_id: spec}, results) == {spec.run_id: "to resume"}

    resumed = runner.run_spec(spec, results, device="cpu")
    undisturbed = runner.run_spec(spec, tmp_path / "undisturbed", device="cpu")
    assert undisturbed.status == "success" and len(undisturbed.history) == 8
    assert undisturbed.evaluations[0].outcomes_digest
    assert numbers(resumed) == numbers(undisturbed)


@pytest.mark.parametrize(
    ("number", "status", "line"),
    [
        (signal.SIGINT, 130, "interrupted: the same command resumes at the last checkpoint\n"),
        (signal.SIGTERM, 143, "terminated: the same command goes on from what is finished\n"),
    ],
)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_signal_ends_it_soon_with_one_line_and_the_run_resumes(
    tmp_path: Path, number: signal.Signals, status: int, line: str, jobs: str
) -> None:
    grid = QUICK | {"train_examples": 1000, "seeds": list(range(int(jobs)))}
    grid["recipe"] = QUICK["recipe"] | {"epochs": 300}
    suite = tmp_path / "suite.yaml"
    suite.write_text(yaml.safe_dump(grid))
    specs = {spec.run_id: spec for spec in plan(load_suite(str(suite)))}
    results = tmp_path / "results"

    running = begin(suite, results, "--jobs", jobs)
    directories = [paths.artifacts_dir(results, run_id) for run_id in specs]
    wait_for(lambda: all(any(path.glob("state-*.pt")) for path in directories), running)
    running.send_signal(number)
    # A second or two on a free core; machines are noisy, so the limit only tells it from the end.
    ended = answer(running, seconds=60)
    assert (ended.status, ended.errors) == (status, line)
    assert find.states(specs, results) == dict.fromkeys(specs, "to resume")
    assert not store.record_files(results)
    for run_id in specs:  # and no process stays that would hold one of them
        with run_lock(results, run_id, lambda line: None):
            pass


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, Path, RunRecord]:
    """A finished run, scored at two budgets on both checkpoints."""
    results = tmp_path_factory.mktemp("done")
    spec = quick_spec(eval_eps=["96/255", "128/255"], evaluate="both")
    return spec, results, runner.run_spec(spec, results, device="cpu")


def test_a_record_describes_the_run(done) -> None:
    spec, results, record = done
    path = paths.record_path(results, spec)
    assert store.load_record(path) == record
    assert (record.status, record.error, record.alarms) == ("success", None, ())
    assert (record.n_train, record.n_validation, record.n_test) == (90, 10, 10)
    assert (record.num_classes, record.n_parameters) == (10, 38_330)
    assert record.tricks == Tricks()
    assert [log.epoch for log in record.history] == [1, 2]
    environment = record.environment
    assert environment["threads"] == torch.get_num_threads()
    assert environment["torch"] == version("torch")
    assert environment["method_origin"].startswith("regmix-bench ")
    # The training passes each of 90 images forwards and backwards once an epoch.
    assert record.training_cost.forward_images == record.training_cost.backward_images == 180
    assert record.scoring_cost.forward_images > record.scoring_cost.backward_images > 0


def test_every_checkpoint_is_scored_at_every_budget(done) -> None:
    spec, results, record = done
    path = paths.record_path(results, spec)
    scored = [(e.checkpoint, str(e.threat.epsilon)) for e in record.evaluations]
    assert scored == [(c, e) for c in ("selected", "last") for e in ("96/255", "128/255")]
    for evaluation in record.evaluations:
        table = pd.read_parquet(paths.outcomes_path(path, evaluation.checkpoint))
        rows = table[table["epsilon"] == str(evaluation.threat.epsilon)]
        assert len(rows) == evaluation.n_examples == 10
        assert rows["clean_correct"].mean() == evaluation.clean_acc
        held = rows["clean_correct"] & (rows["broken_by"] == "")
        assert held.mean() == evaluation.autoattack_acc
    outputs = pd.read_parquet(paths.outputs_path(path))
    assert len(outputs) == 10
    assert record.views_digest is not None
    views = read_views(paths.views_path(path), record.views_digest)
    assert views.threat == spec.eval_threats[0]
    assert np.isin(views.index, outputs["index"]).all() and len(views.curvature) == 10


@pytest.mark.parametrize(
    ("evaluate", "attacked"),
    [("selected", ["selected"]), ("both", ["selected", "last"]), ("all", list(TRAINED))],
)
def test_raw_weights_are_scored_beside_an_average(
    tmp_path: Path, evaluate: str, attacked: list[str]
) -> None:
    spec = quick_spec(recipe=QUICK["recipe"] | {"ema_decay": 0.5}, evaluate=evaluate)
    record = runner.run_spec(spec, tmp_path, device="cpu")
    assert [e.checkpoint for e in record.evaluations] == list(TRAINED)
    scored = [e.checkpoint for e in record.evaluations if e.autoattack_acc is not None]
    assert scored == attacked
    path = paths.record_path(tmp_path, spec)
    for evaluation in record.evaluations:
        images = read_images(paths.outcomes_path(path, evaluation.checkpoint), evaluation)
        assert images.right["pgd_acc"].mean() == evaluation.pgd_acc
        assert ("autoattack_acc" in images.right) == (evaluation.checkpoint in attacked)
    require_files(path, record)
    raw = find_checkpoint(record.run_id, tmp_path, "raw-last")[2]
    assert load_checkpoint(raw, record.checkpoints["raw-last"].sha256)
    runner.discard(spec, tmp_path)
    assert not list(path.parent.iterdir())


def test_a_record_is_not_made_twice(done, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, results, record = done
    monkeypatch.setattr(runner, "execute", None)
    assert runner.run_spec(spec, results, device="cpu") == record


def test_the_selected_model_loads_from_wherever_the_record_is_named(done, monkeypatch) -> None:
    spec, results, record = done
    path = paths.record_path(results, spec)
    by_path = load_model(path)
    by_record = load_model(record, results)
    monkeypatch.chdir(path.parent)
    by_name = load_model(path.name)
    x = torch.rand(3, 1, 8, 8)
    assert not by_path.training
    assert torch.equal(by_path(x), by_record(x)) and torch.equal(by_path(x), by_name(x))


def test_a_record_that_lies_in_no_results_folder_names_no_model(done, tmp_path: Path) -> None:
    spec, results, _ = done
    with pytest.raises(UserError, match=r"^/r\.json lies in no results folder"):
        paths.results_of(Path("/r.json"))
    with pytest.raises(UserError, match=r"^no record at /r\.json"):
        load_model("/r.json")
    elsewhere = tmp_path / "r.json"
    elsewhere.write_bytes(paths.record_path(results, spec).read_bytes())
    assert not load_model(elsewhere, results).training


def test_force_starts_again_and_repeats_the_numbers(done) -> None:
    spec, results, record = done
    again = runner.run_spec(spec, results, device="cpu", force=True)
    assert numbers(again) == numbers(record)
    assert again.training_cost.seconds != record.training_cost.seconds


def test_discard_removes_everything_of_one_run_and_nothing_else(tmp_path: Path) -> None:
    kept, removed = (quick_spec(seeds=[seed]) for seed in (0, 1))
    for spec in (kept, removed):
        runner.run_spec(spec, tmp_path, device="cpu")
    runner.discard(removed, tmp_path)
    assert kept.run_id in "".join(map(str, tmp_path.rglob("*")))
    artifacts = paths.artifacts_dir(tmp_path, removed.run_id)
    left = {path for path in tmp_path.rglob("*") if removed.run_id in str(path)}
    assert left == {artifacts, artifacts / paths.LOCK}
    assert find.states({kept.run_id: kept}, tmp_path) == {kept.run_id: "done"}


def test_cuda_that_is_not_there_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="--device cpu"):
        runner.choose_device("cuda")
    assert runner.choose_device("auto").type == "cpu"


class Failing(Method):
    """Raises ``error`` in its second epoch while ``broken``."""

    name = "failing"
    Config = type("Config", (Frozen,), {})
    broken = True
    error: BaseException = ZeroDivisionError("out of\nluck")

    def on_epoch_start(self, epoch: int) -> None:
        if epoch == 2 and self.broken:
            raise self.error

    def step(self, model, batch, threat, generator) -> StepOutput:
        return StepOutput(nn.functional.cross_entropy(model(batch.x), batch.y), batch.x)


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> type[Failing]:
    monkeypatch.setitem(METHODS.registered, "failing", Failing)
    monkeypatch.setattr(Failing, "broken", True)
    return Failing


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Failing.error, "ZeroDivisionError: out of luck"),
        (SystemExit(4), "SystemExit: 4"),  # which would end the grid without a word
    ],
)
def test_a_failure_is_recorded_with_its_traceback_and_resumed(
    tmp_path, failing, monkeypatch: pytest.MonkeyPatch, error: BaseException, said: str
) -> None:
    monkeypatch.setattr(failing, "error", error)
    spec = quick_spec(methods=["failing"])
    record = runner.run_spec(spec, tmp_path, device="cpu")

    assert (record.status, record.error) == ("error", said)
    assert len(record.history) == 1 and record.evaluations == ()
    assert find.states({spec.run_id: spec}, tmp_path) == {spec.run_id: "failed"}
    trace = paths.artifacts_dir(tmp_path, spec.run_id) / "error.txt"
    assert "in on_epoch_start" in trace.read_text()
    assert load_model(record, tmp_path)(torch.rand(1, 1, 8, 8)).shape == (1, 10)

    Failing.broken = False
    mended = runner.run_spec(spec, tmp_path, device="cpu")
    assert mended.status == "success" and mended.history[0] == record.history[0]


@pytest.mark.parametrize("heard", ["on_epoch", "on_attack"])
def test_who_reads_no_further_makes_no_run_fail(tmp_path: Path, heard: str) -> None:
    def gone(*told: object) -> None:
        raise BrokenPipeError

    spec, observer = quick_spec(), observers.Silent()
    setattr(observer, heard, gone)
    with pytest.raises(BrokenPipeError):
        runner.run_spec(spec, tmp_path, device="cpu", observer=observer)
    assert find.states({spec.run_id: spec}, tmp_path) == {spec.run_id: "to resume"}


CUDA_SAYS = "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 8 GiB"
CPU_SAYS = "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"


@pytest.mark.parametrize(
    "error", [MemoryError(), torch.OutOfMemoryError(CUDA_SAYS), RuntimeError(CPU_SAYS)]
)
@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("_train_epoch", r"in training with batches of 128: --set recipe\.batch_size=64 needs"),
        (
            "score",
            r"in scoring with batches of 500: --set scoring.autoattack_batch_size=250",
        ),
    ],
)
def test_out_of_memory_names_the_batch_and_a_smaller_one(
    tmp_path, monkeypatch, error, where, said
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    if where == "score":
        monkeypatch.setattr(task, "score_weights", fail)
    else:
        monkeypatch.setattr(Trainer, where, fail)
    record = runner.run_spec(quick_spec(), tmp_path, device="cpu")
    assert record.status == "error"
    assert re.fullmatch(rf"out of memory {said}.* about half", record.error)


def test_weights_that_are_selected_and_last_are_scored_once_and_recorded_twice(tmp_path) -> None:
    forward = {}
    for evaluate in ("selected", "both"):
        recipe = QUICK["recipe"] | {"selection": "last"}
        spec = quick_spec(recipe=recipe, evaluate=evaluate)
        record = runner.run_spec(spec, tmp_path, device="cpu")
        forward[evaluate] = record.scoring_cost.forward_images
    assert forward["both"] == forward["selected"] > 0
    weights = {name: file.sha256 for name, file in record.checkpoints.items()}
    assert weights["selected"] == weights["last"]
    selected, last = record.evaluations
    assert (selected.checkpoint, last.checkpoint) == ("selected", "last")
    assert selected.autoattack_acc is not None
    assert last.model_copy(update={"checkpoint": "selected"}) == selected
    require_files(paths.record_path(tmp_path, spec), record)


def test_a_run_is_one_process_s_at_a_time(tmp_path) -> None:
    spec, lines = quick_spec(), []

    class Notes(observers.Silent):
        def on_note(self, spec: RunSpec, line: str) -> None:
            lines.append(line)

    with run_lock(tmp_path, spec.run_id, lines.append):
        with pytest.raises(Busy, match=rf"left to process {os.getpid()} on .*, which works on it"):
            runner.run_spec(spec, tmp_path, device="cpu", force=True)
        assert paths.find_record(tmp_path, spec) is None
    runner.run_spec(spec, tmp_path, device="cpu", observer=Notes())
    assert lines == []
    assert (paths.artifacts_dir(tmp_path, spec.run_id) / "lock").read_text() == ""


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path) -> None:
    spec, lines = quick_spec(), []
    code = f"""
import os, signal
from pathlib import Path
from regmix_bench.records.locks import run_lock
with run_lock(Path({str(tmp_path)!r}), {spec.run_id!r}, print):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    dead = subprocess.run([sys.executable, "-c", code], env=unmeasured())
    assert dead.returncode == -signal.SIGKILL
    with run_lock(tmp_path, spec.run_id, lines.append):
        (line,) = lines
        assert re.fullmatch(
            r"taken over from process \d+ on .*, which ended before it was done", line
        )


def test_overfitting_is_an_alarm_of_the_record(tmp_path, monkeypatch):
    collapsed = HeldOutAccuracy(clean=0.9, fgsm=0.9, pgd=0.1)
    monkeypatch.setattr(Validation, "measure", lambda self, model: collapsed)
    record = runner.run_spec(quick_spec(), tmp_path, device="cpu")
    (alarm,) = record.alarms
    assert (alarm.kind, alarm.epoch) == ("catastrophic-overfitting", 1)


def test_a_loss_that_is_not_finite_is_an_error_with_its_alarm(tmp_path, failing, monkeypatch):
    def step(self, model, batch, threat, generator) -> StepOutput:
        loss = nn.functional.cross_entropy(model(batch.x), batch.y)
        return StepOutput(loss * float("nan"), batch.x)

    monkeypatch.setattr(Failing, "step", step)
    record = runner.run_spec(quick_spec(methods=["failing"]), tmp_path, device="cpu")
    assert (record.status, record.error) == ("error", "the loss is not finite in epoch 1")
    assert record.alarms[0].kind == "non-finite-loss"
    with pytest.raises(UserError, match="no checkpoint 'selected'"):
        load_model(record, tmp_path)


def test_a_missing_results_folder_is_made_and_a_file_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        runner.run_spec(quick_spec(), tmp_path / "file" / "results", device="cpu")
    assert (tmp_path / "file").read_text() == ""
    assert os.listdir(tmp_path) == ["file"]


def test_autoattack_is_spared_where_pgd_has_to_do(tmp_path: Path) -> None:
    spec = quick_spec(pgd_eps=["64/255"])
    record = runner.run_spec(spec, tmp_path, device="cpu")
    assert record.status == "success", record.error
    attacked, spared = [e for e in record.evaluations if e.checkpoint == "selected"]
    assert (str(attacked.threat), str(spared.threat)) == ("Linf 128/255", "Linf 64/255")
    assert attacked.autoattack_acc is not None and attacked.outcomes_digest is not None
    assert spared.autoattack_acc is None and spared.outcomes_digest is None
    assert spared.clean_acc == attacked.clean_acc and spared.pgd_acc >= attacked.pgd_acc
    assert spec.run_id != quick_spec().run_id


def test_how_the_network_was_run_is_recorded(tmp_path: Path) -> None:
    record = runner.run_spec(quick_spec(), tmp_path, device="cpu", channels_last="on")
    training = record.environment["training"]
    assert training == {
        "channels_last": True,
        "compile": False,
        "sync_bn": False,
        "graphs": False,
        "kernel_norms": 0,
    }
    assert record.environment["devices"] == 1
