"""Trackers, with the real packages and no network: what they keep is what is recorded."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import wandb_files
from support.doors import closed_door
from support.harness import SUITE, Answer, answer, cli, start

from regmix_bench.records.schema import RunRecord
from regmix_bench.records.store import load_records
from regmix_bench.runs.loggers import LOGGERS, epoch_numbers
from regmix_bench.runs.trackers import scores_of

NAMES = ("tensorboard", "wandb", "mlflow", "trackio")

#: One small run, interrupted after its second epoch and resumed, that all trackers hear; then the
#: contract of each.
PROGRAM = """
import os, sys
from regmix_bench import run
from regmix_bench.runs.observers import Silent
from regmix_bench.testing import check_logger

class Interrupter(Silent):
    def on_epoch(self, spec, log):
        if log.epoch == 2:
            raise KeyboardInterrupt

class Notes(Silent):
    def on_note(self, spec, line):
        print(line, file=sys.stderr)

suite, results, names = sys.argv[1], sys.argv[2], sys.argv[3].split(",")
try:
    run(suite, log=names, results=results, device="cpu", observer=Interrupter())
except KeyboardInterrupt:
    run(suite, log=names, results=results, device="cpu", observer=Notes())
# Its store takes seconds to make.
os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{results}/artifacts/mlflow/mlflow.db"
for name in names:
    text = name if name == "tensorboard" else f"{name}[project=contract]"
    print(name, check_logger(text), file=sys.stderr)
"""

#: Events that trackers hear which can write nothing.
FAILING = """
import sys
from pathlib import Path
from regmix_bench.runs.loggers import create_loggers, logged
from regmix_bench.runs.observers import Ending, Silent
from support.histories import planted_history
from support.synthetic import make_spec

class Notes(Silent):
    def on_note(self, spec, line):
        print(line)

spec = make_spec()
with logged(Notes(), create_loggers(sys.argv[2].split(",")), Path(sys.argv[1])) as told:
    told.on_start(spec)
    for log in planted_history([0.5, 0.6]):
        told.on_epoch(spec, log)
    told.on_end(Ending(spec, error="no"))
print("on it goes")
"""


@dataclass(frozen=True)
class Tracked:
    """A run that all trackers have heard, and where each keeps it."""

    folder: Path
    record: RunRecord
    answer: Answer
    visits: list[str]

    @property
    def artifacts(self) -> Path:
        return self.folder / "results" / "artifacts"

    @property
    def expected(self) -> dict[str, dict[int, float]]:
        """Every number of the record by its name in trackers and its epoch."""
        found: dict[str, dict[int, float]] = {}
        for log in self.record.history:
            for name, value in epoch_numbers(log).items():
                found.setdefault(f"epoch/{name}", {})[log.epoch] = value
        for result in self.record.evaluations:
            for name, value in result.after_attack.items():
                found[f"attack/{result.threat.epsilon.slug}/{name}"] = {3: value}
        return found | {score.key: {3: score.accuracy} for score in scores_of(self.record)}


def environment(folder: Path, door: str) -> dict[str, str]:
    """A home without logins but with a token of the hub, and a proxy that counts who comes."""
    proxies = {f"{name}_PROXY": door for name in ("HTTP", "HTTPS", "ALL")}
    return {
        **proxies,
        "HOME": str(folder),
        "HF_HOME": str(folder / "hf"),
        "HF_TOKEN": "hf_none",
        "TRACKIO_DIR": str(folder / "trackio"),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tracked]:
    for name in NAMES:
        pytest.importorskip(name)
    folder = tmp_path_factory.mktemp("tracked")
    (folder / "suite.yaml").write_text(json.dumps(SUITE | {"methods": ["fgsm-rs"]}))
    with closed_door() as (door, visits):
        ended = answer(
            start(
                *(folder / "suite.yaml", folder / "results", ",".join(NAMES)),
                program=(sys.executable, "-c", PROGRAM),
                env=environment(folder, door),
                cwd=folder,
            )
        )
    assert ended.status == 0, ended.errors
    (record,) = load_records(folder / "results").values()
    assert isinstance(record, RunRecord)
    yield Tracked(folder, record, ended, visits)


def of_tensorboard(run: Tracked) -> dict[str, dict[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    (folder,) = (run.artifacts / "tensorboard").iterdir()
    events = EventAccumulator(str(folder), {"tensors": 0})
    events.Reload()
    read: dict[str, dict[int, float]] = {}
    for name in events.Tags()["tensors"]:
        for event in events.Tensors(name):
            value = make_ndarray(event.tensor_proto)
            if value.dtype.kind == "f":
                assert event.step not in read.setdefault(name, {}), "an epoch that was purged"
                read[name][event.step] = value.item()
    assert "curves" in events.Tags()["images"]
    assert (
        b"recipe.epochs"
        in make_ndarray(events.Tensors("configuration/text_summary")[0].tensor_proto).item()
    )
    return read


def of_wandb(run: Tracked) -> dict[str, dict[int, float]]:
    ids = {found for found, _ in wandb_files.runs(run.artifacts / "wandb")}
    assert ids == {run.record.run_id}
    _, values = wandb_files.runs(run.artifacts / "wandb")[0]
    assert (values["run_id"], values["recipe"]["epochs"]) == (run.record.run_id, 3)
    read: dict[str, dict[int, float]] = {}
    kinds = set()
    for row in wandb_files.history(run.artifacts / "wandb"):
        for name, value in row.items():
            if name.endswith("/_type"):
                kinds.add((name, value))
            elif name.startswith(("epoch/", "attack/", "final/")):
                read.setdefault(name, {})[row["epoch"]] = value
    assert kinds >= {("scores/_type", "table-file"), ("curves/_type", "image-file")}
    return read


def of_mlflow(run: Tracked) -> dict[str, dict[int, float]]:
    from mlflow import MlflowClient

    store = run.artifacts / "mlflow"
    client = MlflowClient(tracking_uri=f"sqlite:///{store / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("regmix-bench")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.status == "FINISHED"
    assert found.data.params["run_id"] == run.record.run_id
    assert found.data.params["recipe.epochs"] == "3"
    assert len(list(store.rglob("scores.csv"))) == 1
    assert len(list(store.rglob("figures/curves.png"))) == 1
    return {
        name: {m.step: m.value for m in client.get_metric_history(found.info.run_id, name)}
        for name in found.data.metrics
    }


def of_trackio(run: Tracked) -> dict[str, dict[int, float]]:
    with sqlite3.connect(run.folder / "trackio" / "regmix-bench.db") as store:
        rows = store.execute("SELECT run_name, step, metrics FROM metrics ORDER BY id").fetchall()
        configs = store.execute("SELECT config FROM configs").fetchall()
    assert {name for name, _, _ in rows} == {run.record.spec.stem}
    assert json.loads(configs[0][0])["run_id"] == run.record.run_id
    read: dict[str, dict[int, float]] = {}
    kinds = set()
    for _, step, text in rows:
        for name, value in json.loads(text).items():
            if isinstance(value, dict):
                kinds.add(value["_type"])
            else:
                read.setdefault(name, {})[step] = value
    assert kinds == {"trackio.table", "trackio.image"}
    return read


@pytest.mark.parametrize("read", [of_tensorboard, of_wandb, of_mlflow, of_trackio])
def test_a_tracker_has_the_numbers_of_the_record(tracked: Tracked, read: Any) -> None:
    """To the last bit, and in one run of the tracker's, though the run was interrupted."""
    assert read(tracked) == tracked.expected


def test_trackers_keep_their_contract_and_say_nothing(tracked: Tracked) -> None:
    assert tracked.answer.out == ""
    assert tracked.answer.errors.splitlines() == [f"{name} []" for name in NAMES]


def test_no_tracker_asks_the_network(tracked: Tracked) -> None:
    assert tracked.visits == []


def test_a_tracker_that_fails_says_so_once_and_the_run_goes_on(tmp_path: Path) -> None:
    """Each in its own way: a file where a folder should be, no login, nowhere to write."""
    for name in NAMES:
        pytest.importorskip(name)
    (tmp_path / "results" / "artifacts").mkdir(parents=True)
    for name in ("tensorboard", "mlflow"):
        (tmp_path / "results" / "artifacts" / name).write_text("")
    with closed_door() as (door, _):
        changes = {"TRACKIO_DIR": "/proc/nowhere", "WANDB_MODE": "online"}
        ended = answer(
            start(
                *(tmp_path / "results", ",".join(NAMES)),
                program=(sys.executable, "-c", FAILING),
                env=environment(tmp_path, door) | changes,
                cwd=tmp_path,
            )
        )
    *lines, last = ended.out.splitlines()
    assert (ended.status, last, ended.errors) == (0, "on it goes", "")
    found = [re.match(r"logger '(\w+)' fails and is left out: \w+Error: .", line) for line in lines]
    assert sorted(match[1] for match in found if match) == sorted(NAMES)


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_refused_before_anything_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    results = tmp_path / "results"
    answered = cli("run", "--methods", "standard", "--results", results, "--log", f"csv,{name}")
    assert (answered.status, answered.out) == (2, "")
    assert answered.errors.count("\n") == 1
    assert f'not installed: pip install "regmix-bench[{name}]"' in answered.errors
    assert not results.exists()


def test_a_folder_of_its_name_is_no_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the one that Weights & Biases makes where it is used."""
    (tmp_path / "nobodys_tracker").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(LOGGERS["tensorboard"], "modules", ("nobodys_tracker",))
    answered = cli("run", "--methods", "standard", "--log", "tensorboard", "--dry-run")
    assert (answered.status, answered.errors.count("\n")) == (2, 1)
