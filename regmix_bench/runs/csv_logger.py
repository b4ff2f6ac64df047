"""The built-in logger: one CSV file a run."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

from regmix_bench.records.paths import artifacts_dir
from regmix_bench.records.schema import EpochLog
from regmix_bench.runs.loggers import Logger, epoch_numbers
from regmix_bench.runs.observers import Ending
from regmix_bench.specs import AnySpec, EvalSpec, RunSpec
from regmix_bench.system.files import require_sole

FILE = "log.csv"
COLUMNS = ("time", "event", "epoch", "threat", "name", "value")


class CSVLogger(Logger):
    """One CSV a run, artifacts/RUN_ID/log.csv in the results folder: a row a number or event.

    A row of an epoch has the loss, an accuracy in [0, 1] or another of its numbers as ``name`` and
    ``value``; one of an attack its name and the accuracy that it left under ``threat``; the last
    one how the run ended. ``time`` is that of writing, in UTC. Rows are appended as they arrive: a
    run that resumes, or goes back to an older state, has the epochs since then twice, the later
    rows counting. ``pandas.read_csv(path).pivot_table("value", "epoch", "name", aggfunc="last")``
    has an epoch a row.
    """

    name = "csv"

    def open(self, results: Path) -> None:
        self.results = results

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        self._write(
            spec, *(("epoch", log.epoch, "", *number) for number in epoch_numbers(log).items())
        )

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None:
        self._write(spec, ("attack", "", threat, attack, accuracy))

    def on_note(self, spec: AnySpec, line: str) -> None:
        self._write(spec, ("note", "", "", line, ""))

    def on_end(self, ending: Ending) -> None:
        if ending.left is None:  # else another process has the run, and its log
            how = "success" if ending.error is None else f"error: {ending.error}"
            self._write(ending.spec, ("end", "", "", how, ""))

    def _write(self, spec: AnySpec, *rows: tuple[object, ...]) -> None:
        path = artifacts_dir(self.results, spec.run_id) / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        time = datetime.now(UTC).isoformat(timespec="seconds")
        with require_sole(path).open("a", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            if stream.tell() == 0:
                writer.writerow(COLUMNS)
            writer.writerows((time, *row) for row in rows)
