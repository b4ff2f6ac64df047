"""What `regmix-bench run` shows while it works: a live display, or plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
)

from regmix_bench.records.schema import EpochLog
from regmix_bench.specs import EvalSpec, RunSpec

#: Seconds between two plain lines of one training.
QUIET_SECONDS = 5.0


@dataclass
class _Running:
    """What the display remembers of a run that goes on; times in seconds."""

    name: str
    epochs: TaskID
    started: float
    first_epoch: int | None = None
    said: float = 0.0


class Display:
    """Follows the runs of a grid, of which several may go on at a time.

    Use it as a context manager and as a runner's observer. On a terminal each run that goes on has
    a bar of its epochs, below that of the runs done; elsewhere each line starts with its run.
    """

    def __init__(self, runs: int) -> None:
        self.runs = runs
        self.number = 0
        self.console = Console(stderr=False, highlight=False)
        self.live = self.console.is_terminal
        self._bars = Progress(
            SpinnerColumn(finished_text="·"),
            TextColumn("{task.description}", markup=False),  # a label may hold brackets
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=self.console,
            disable=not self.live,
        )
        self._done = self._bars.add_task("runs done", total=runs, visible=runs > 1, numbers="")
        self._running: dict[str, _Running] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def on_start(self, spec: RunSpec) -> None:
        """A run begins, perhaps at a later epoch than the first."""
        self.number += 1
        name = f"[{self.number}/{self.runs}] {describe(spec)}"
        epochs = self._bars.add_task(name, total=spec.recipe.epochs, numbers="")
        self._running[spec.run_id] = _Running(name, epochs, started=time.monotonic())
        self.say(f"{name}: started")

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        """Show the epoch's loss, accuracies and the time left."""
        run, now = self._running[spec.run_id], time.monotonic()
        if run.first_epoch is None or log.epoch <= run.first_epoch:  # begun, or gone back
            run.first_epoch = log.epoch - 1
        done = log.epoch - run.first_epoch
        left = (now - run.started) / done * (spec.recipe.epochs - log.epoch)
        numbers = (
            f"loss {log.loss:.3f}  val clean {log.val_clean_acc:.1%}"
            f"  PGD-10 {log.val_pgd_acc:.1%}  {_duration(left)} left"
        )
        self._bars.update(run.epochs, completed=log.epoch, numbers=numbers)
        if not self.live and (now - run.said > QUIET_SECONDS or log.epoch == spec.recipe.epochs):
            run.said = now
            self.say(f"{run.name}: epoch {log.epoch}/{spec.recipe.epochs}  {numbers}")

    def on_attack(self, spec: RunSpec, threat: str, attack: str, accuracy: float) -> None:
        """Show what accuracy one attack has left."""
        run = self._running[spec.run_id]
        numbers = f"AutoAttack at {threat}: {accuracy:.1%} after {attack}"
        self._bars.update(run.epochs, numbers=numbers)
        if not self.live:
            self.say(f"{run.name}: {numbers}")

    def on_note(self, spec: RunSpec, line: str) -> None:
        """Say what was not as it should be."""
        self.say(f"{self._running[spec.run_id].name}: {line}")

    def on_end(self, spec: RunSpec, lines: Iterable[str]) -> None:
        """A run has ended; ``lines`` say how."""
        run = self._running.pop(spec.run_id)
        self._bars.remove_task(run.epochs)
        self._bars.advance(self._done)
        for line in lines:
            self.say(f"{run.name}: {line.strip()}")

    def say(self, line: str) -> None:
        """Print one line above the display."""
        if self.live:
            self.console.print(line, markup=False)
        else:
            print(line, flush=True, file=sys.stdout)


def describe(spec: RunSpec | EvalSpec) -> str:
    """A run or an evaluation in a few words, as a person would name it."""
    if isinstance(spec, RunSpec):
        last = (str(spec.train_threat), f"seed {spec.seed}")
    else:
        last = (", ".join(map(str, spec.eval_threats)), "evaluated")
    return " · ".join((spec.label, spec.dataset_words, spec.arch_words, *last))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
