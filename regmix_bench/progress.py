"""What `regmix-bench run` shows while it works: a live display, or plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from regmix_bench.records import EpochLog
from regmix_bench.types import EvalSpec, RunSpec

#: Seconds between two plain lines of one training.
QUIET_SECONDS = 5.0


class Display:
    """Follows the runs of a grid; use it as a context manager and as a runner's observer."""

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
        self._epochs = self._bars.add_task("", visible=False, numbers="")

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
        self._started = time.monotonic()
        self._first_epoch: int | None = None
        self._said = 0.0
        self._name = f"[{self.number}/{self.runs}] {describe(spec)}"
        self._bars.reset(self._epochs, total=spec.recipe.epochs, visible=True)
        self._bars.update(self._epochs, description=self._name, numbers="")
        self.say(f"{self._name}: started")

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        """Show the epoch's loss, accuracies and the time left."""
        now = time.monotonic()
        if self._first_epoch is None:
            self._first_epoch = log.epoch - 1
        done = log.epoch - self._first_epoch
        left = (now - self._started) / done * (spec.recipe.epochs - log.epoch)
        numbers = (
            f"loss {log.loss:.3f}  val clean {log.val_clean_acc:.1%}"
            f"  PGD-10 {log.val_pgd_acc:.1%}  {_duration(left)} left"
        )
        self._bars.update(self._epochs, completed=log.epoch, numbers=numbers)
        if not self.live and (now - self._said > QUIET_SECONDS or log.epoch == spec.recipe.epochs):
            self._said = now
            self.say(f"{self._name}: epoch {log.epoch}/{spec.recipe.epochs}  {numbers}")

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None:
        """Show what accuracy one attack has left."""
        numbers = f"AutoAttack at {threat}: {accuracy:.1%} after {attack}"
        self._bars.update(self._epochs, numbers=numbers)
        if not self.live:
            self.say(f"{self._name}: {numbers}")

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
    return " · ".join((spec.label, spec.dataset, spec.arch, *last))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
