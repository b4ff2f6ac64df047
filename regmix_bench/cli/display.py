"""The display of runs while they go on: bars, or plain lines in a pipe."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
)

from regmix_bench.analysis.words import throughput_words
from regmix_bench.cli.printing import say, score_lines
from regmix_bench.cli.times import duration
from regmix_bench.records.accuracies import attack_words
from regmix_bench.records.find import RunState
from regmix_bench.records.schema import EpochLog
from regmix_bench.records.throughput import Throughput
from regmix_bench.records.words import spec_words
from regmix_bench.specs import EvalSpec, RunSpec
from regmix_bench.system.text import one_line

if TYPE_CHECKING:
    from regmix_bench.records.progress import Progress as RunProgress
    from regmix_bench.runs.observers import Ending

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

    Use it as a context manager and as an observer. On a terminal each run that goes on has a bar of
    its epochs, below that of the runs done; elsewhere each line starts with its run.
    """

    def __init__(self) -> None:
        self.runs = self.number = self.ended = 0
        self.console = Console(stderr=False, highlight=False)
        self.live = self.console.is_terminal
        self.bars = Progress(
            SpinnerColumn(finished_text="·"),
            TextColumn("{task.description}", markup=False),  # a label may hold brackets
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}", markup=False),
            console=self.console,
            disable=not self.live,
        )
        self._done = self.bars.add_task("runs done", total=None, visible=False, numbers="")
        self._running: dict[str, _Running] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bars.stop()

    def on_plan(self, states: Mapping[str, RunState], waiting: int) -> None:
        """Count with ``waiting`` runs."""
        self.runs = waiting
        self.bars.update(self._done, total=waiting, visible=waiting > 1)
        if waiting:
            self.bars.start()

    def on_start(self, spec: RunSpec | EvalSpec) -> None:
        """Name a run that begins, perhaps at a later epoch than the first."""
        self.number += 1
        name = f"[{self.number}/{self.runs}] {spec_words(spec)}"
        total = spec.recipe.epochs if isinstance(spec, RunSpec) else None
        epochs = self.bars.add_task(one_line(name), total=total, numbers="")
        self._running[spec.run_id] = _Running(name, epochs, started=time.monotonic())
        self.say(f"{name}: started")

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        """Show the epoch's loss, accuracies and rates, and the time left."""
        run, now = self._running[spec.run_id], time.monotonic()
        if run.first_epoch is None or log.epoch <= run.first_epoch:  # begun, or gone back
            run.first_epoch = log.epoch - 1
        done = log.epoch - run.first_epoch
        left = (now - run.started) / done * (spec.recipe.epochs - log.epoch)
        numbers = (
            f"loss {log.loss:.3f}  val clean {log.val_clean_acc:.1%}"
            f"  PGD-10 {log.val_pgd_acc:.1%}  {duration(left)} left"
        )
        if (throughput := Throughput.of([log])) is not None:
            numbers += f"  {throughput_words(throughput)}"
        self.bars.update(run.epochs, completed=log.epoch, numbers=numbers)
        if not self.live and (now - run.said > QUIET_SECONDS or log.epoch == spec.recipe.epochs):
            run.said = now
            self.say(f"{run.name}: epoch {log.epoch}/{spec.recipe.epochs}  {numbers}")

    def on_progress(self, spec: RunSpec | EvalSpec, progress: RunProgress) -> None:
        """Show nothing of it yet."""

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None:
        """Show what accuracy one attack has left."""
        run = self._running[spec.run_id]
        numbers = f"{attack_words(spec.scoring)} at {threat}: {accuracy:.1%} after {attack}"
        self.bars.update(run.epochs, numbers=one_line(numbers))
        if not self.live:
            self.say(f"{run.name}: {numbers}")

    def on_note(self, spec: RunSpec | EvalSpec, line: str) -> None:
        """Say what was not as it should be."""
        run = self._running.get(spec.run_id)
        self.say(f"{run.name if run else spec_words(spec)}: {line}")

    def on_end(self, ending: Ending) -> None:
        """Say how a run has ended."""
        run = self._running.pop(ending.spec.run_id)
        self.ended += 1
        self.bars.remove_task(run.epochs)
        self.bars.advance(self._done)
        lines = [f"failed: {ending.error}"] if ending.error is not None else []
        if ending.record is not None:
            lines += score_lines(ending.record.evaluations)
        if ending.left is not None:
            lines.append(ending.left)
        for line in lines:
            self.say(f"{run.name}: {line.strip()}")

    def say(self, line: str) -> None:
        """Print one line above the display."""
        if self.live:
            self.console.print(one_line(line), markup=False)
        else:
            say(line)


class GridDisplay(Display):
    """A display that also says what is planned, and keeps count of what has failed."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__()
        self.given = given
        self.states: Mapping[str, RunState] = {}
        self.failed: set[str] = set()

    def on_plan(self, states: Mapping[str, RunState], waiting: int) -> None:
        self.states = states
        self.failed = {run_id for run_id, state in states.items() if state == "failed"}
        counts, given = Counter(states.values()), self.given
        summary = ", ".join(
            f"{counts[name]} {name}" for name in ("done", "to resume", "to run", "failed")
        )
        forced = f"; --force runs all {len(states)}" if given["force"] else ""
        say(f"{len(states)} runs: {summary}{forced}")
        if counts["done"] and not given["force"]:
            if given["save_adversarial"] or given["diagnose"]:
                say(
                    "what is done stays as it is: `regmix-bench eval RUN` takes the same two"
                    " options"
                )
            if given["reference"]:
                say(
                    "what is done keeps its reference: `regmix-bench report --reference` takes"
                    " another"
                )
        if not given["dry_run"]:
            super().on_plan(states, waiting)

    def on_end(self, ending: Ending) -> None:
        super().on_end(ending)
        self.failed.discard(ending.spec.run_id)
        if ending.error is not None:
            self.failed.add(ending.spec.run_id)
