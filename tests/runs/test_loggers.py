"""Loggers: what they hear, what a broken one costs, and the built-in CSV."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.harness import cli
from support.synthetic import make_spec

from regmix_bench.errors import UserError
from regmix_bench.records.paths import artifacts_dir
from regmix_bench.records.progress import Progress
from regmix_bench.records.schema import EpochLog
from regmix_bench.runs.loggers import LOGGERS, Logger, create_loggers, logged
from regmix_bench.runs.observers import Ending, Silent
from regmix_bench.types import Frozen

SPEC = make_spec()


def epoch(number: int, loss: float = 0.5, **metrics: float) -> EpochLog:
    return EpochLog(
        epoch=number,
        lr=0.1,
        loss=loss,
        metrics=metrics,
        val_clean_acc=0.9,
        val_fgsm_acc=0.8,
        val_pgd_acc=0.7,
        seconds=1.0,
    )


class Notes(Silent):
    """An observer that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def on_start(self, spec) -> None:
        self.heard.append("start")

    def on_epoch(self, spec, log) -> None:
        self.heard.append(log.epoch)

    def on_note(self, spec, line) -> None:
        self.heard.append(line)

    def on_end(self, ending) -> None:
        self.heard.append("end")


class Recorder(Logger):
    """Keeps what it hears, and fails at an event of a user's choice."""

    name = "recorder"
    heard: list[str] = []

    class Config(Frozen):
        fails_at: str = ""

    def _hear(self, event: str) -> None:
        if event == self.config.fails_at:
            raise RuntimeError("no\nroom")
        self.heard.append(event)

    def open(self, results: Path) -> None:
        self._hear("open")

    def on_start(self, spec) -> None:
        self._hear("start")

    def on_epoch(self, spec, log) -> None:
        self._hear("epoch")

    def on_progress(self, spec, progress) -> None:
        self._hear("progress")

    def on_attack(self, spec, threat, attack, accuracy) -> None:
        self._hear("attack")

    def on_end(self, ending) -> None:
        self._hear("end")

    def close(self) -> None:
        self._hear("close")


@pytest.fixture(autouse=True)
def registered() -> None:
    LOGGERS.register("recorder", Recorder)
    Recorder.heard = []


def events(notes: Notes, results: Path, *loggers: str) -> list[Any]:
    """Tell of one short run; returns what the observer has heard."""
    with logged(notes, create_loggers(loggers), results) as observer:
        observer.on_start(SPEC)
        for log in (epoch(1), epoch(2, norm=3.0), epoch(2, 0.4)):
            observer.on_epoch(SPEC, log)
        observer.on_progress(SPEC, Progress(stage="scoring"))
        observer.on_attack(SPEC, "Linf 32/255", "apgd-ce", 0.625)
        observer.on_end(Ending(SPEC))
    return notes.heard


def test_a_logger_hears_what_the_observer_hears(tmp_path: Path) -> None:
    assert events(Notes(), tmp_path, "recorder") == ["start", 1, 2, 2, "end"]
    heard = ["open", "start", "epoch", "epoch", "epoch", "progress", "attack", "end", "close"]
    assert Recorder.heard == heard


@pytest.mark.parametrize(
    ("event", "before"),
    [
        ("open", []),
        ("start", ["open"]),
        ("attack", ["open", "start", *3 * ["epoch"], "progress"]),
        ("end", ["open", "start", *3 * ["epoch"], "progress", "attack"]),
        ("close", ["open", "start", *3 * ["epoch"], "progress", "attack", "end"]),
    ],
)
def test_a_logger_that_fails_costs_itself_alone(tmp_path, event, before) -> None:
    name = f"recorder[fails_at={event}]"
    heard = events(Notes(), tmp_path, name, "csv")
    line = f"logger {name!r} fails and is left out: RuntimeError: no room"
    assert [item for item in heard if item != line] == ["start", 1, 2, 2, "end"]
    assert heard.count(line) == 1
    assert Recorder.heard == before
    assert (artifacts_dir(tmp_path, SPEC.run_id) / "log.csv").exists()


@pytest.mark.parametrize("event", ["on_epoch", "close"])
def test_a_logger_that_hangs_is_waited_for_no_longer_than_a_while(tmp_path, event) -> None:
    never = threading.Event()
    hanging, notes = Logger(Logger.Config()), Notes()
    setattr(hanging, event, lambda *_: never.wait())
    with logged(notes, {"slow": hanging, **create_loggers(["csv"])}, tmp_path, 0.01) as observer:
        observer.on_start(SPEC)
        for number in (1, 2):
            observer.on_epoch(SPEC, epoch(number))
    line = "logger 'slow' fails and is left out: TimeoutError: no answer in 0.01 s"
    assert [item for item in notes.heard if isinstance(item, str)] == ["start", line]
    assert (artifacts_dir(tmp_path, SPEC.run_id) / "log.csv").exists()
    never.set()


def test_the_csv_has_a_row_for_each_number(tmp_path: Path) -> None:
    events(Notes(), tmp_path, "csv")
    table = pd.read_csv(artifacts_dir(tmp_path, SPEC.run_id) / "log.csv")
    assert list(table.columns) == ["time", "event", "epoch", "threat", "name", "value"]
    numbers = table.pivot_table("value", "epoch", "name", aggfunc="last")
    assert numbers.loss.tolist() == [0.5, 0.4]
    assert numbers.norm[2] == 3.0
    assert numbers.val_pgd_acc[1] == 0.7
    assert table.value[table.event == "epoch"].notna().all()  # nothing of weights there are not
    (attack,) = table[table.event == "attack"].itertuples()
    assert (attack.threat, attack.name, attack.value) == ("Linf 32/255", "apgd-ce", 0.625)
    assert table.iloc[-1]["name"] == "success"
    assert table.time.str.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00").all()


def test_a_run_that_another_process_has_is_not_logged(tmp_path: Path) -> None:
    with logged(Silent(), create_loggers(["csv"]), tmp_path) as observer:
        observer.on_start(SPEC)
        observer.on_end(Ending(SPEC, left="process 7 works on it"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("log", ["cvs", "csv[x=1]", "csv,", "recorder[fails_at"])
def test_bad_loggers_are_refused_before_anything_is_written(tmp_path: Path, log: str) -> None:
    results = tmp_path / "results"
    arguments = ("--methods", "trades", "--results", results, "--log", log)
    answered = cli("run", *arguments)
    assert answered.status == 2
    assert answered.errors.count("\n") == 1
    assert not results.exists()


def test_what_is_logged_is_what_is_recorded(tmp_path: Path) -> None:
    """Two runs at a time: the events of both arrive in the process that started them."""
    answered = cli(
        *("run", "--methods", "standard,fgsm-rs", "--eps", "8/255"),
        *("--set", "recipe.epochs=2"),
        *("--set", "data.train_examples=60", "--set", "data.eval_examples=10"),
        *("--attacks", "square", "--device", "cpu", "--jobs", "2"),
        *("--results", tmp_path, "--log", "csv,recorder[fails_at=attack]"),
    )
    assert answered.status == 0, answered.errors
    assert answered.out.count("fails and is left out: RuntimeError: no room") == 1
    logs = sorted(tmp_path.glob("artifacts/*/log.csv"))
    assert len(logs) == 2
    for path in logs:
        table = pd.read_csv(path)
        assert table[table.name == "loss"].epoch.tolist() == [1, 2]
        assert table[table.event == "attack"].name.tolist() == ["square"]


def test_unknown_loggers_name_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown logger 'cvs': did you mean 'csv'"):
        create_loggers(["cvs"])
    assert LOGGERS["csv"].__doc__
