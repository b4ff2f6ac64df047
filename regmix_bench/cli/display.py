"""The display of runs while they go on: bars on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.text import Text

from regmix_bench.analysis.words import throughput_words
from regmix_bench.cli.cells import Cells, RunLine
from regmix_bench.cli.flags import NO_FLAGS, Flags
from regmix_bench.cli.frame import grid_frame
from regmix_bench.cli.layout import runs_words
from regmix_bench.cli.printing import say, score_lines
from regmix_bench.cli.screens import screen_for
from regmix_bench.cli.times import duration
from regmix_bench.records.accuracies import attack_words
from regmix_bench.records.find import RunState
from regmix_bench.records.schema import EpochLog
from regmix_bench.records.throughput import Throughput
from regmix_bench.records.words import spec_words
from regmix_bench.runs.forecast import hours_warning
from regmix_bench.specs import AnySpec, EvalSpec, RunSpec

if TYPE_CHECKING:
    from regmix_bench.records.progress import Progress
    from regmix_bench.runs.forecast import Forecast
    from regmix_bench.runs.observers import Ending

#: Seconds between two plain lines of one training.
QUIET_SECONDS = 5.0

#: Seconds of a run after which the time that is left of it can be believed.
_SURE = 10.0

#: Runs that are named where a command has to be given for each.
_NAMED = 3


class Display:
    """Follows the runs of a grid, of which several may go on at a time, or a single one.

    Use it as a context manager and as an observer: ``with Display() as shown: run(…,
    observer=shown)`` in a notebook, too. On a terminal there is a line for the grid, where there
    is a plan, and one for each run that goes on, on ``screen``; elsewhere each line of news starts
    with its run. Where the result is JSON, all that is shown goes to standard error.
    """

    def __init__(self, flags: Flags = NO_FLAGS, console: Console | None = None) -> None:
        self.flags, self.cells = flags, Cells()
        self.console = console or Console(stderr=flags.json, highlight=False)
        terminal = self.console.is_terminal and not self.console.is_dumb_terminal
        self.live = terminal or self.console.is_jupyter  # which is no terminal
        self.screen = screen_for(self.console, self._frame)
        self.warned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.screen.stop()

    def on_plan(self, states: Mapping[str, RunState], waiting: int) -> None:
        """Count with ``waiting`` runs."""
        self.cells.total = waiting
        if waiting:
            self._show()

    def on_forecast(self, look_ahead: Callable[[], Forecast]) -> None:
        """Measure how long the grid will take, where that is shown."""
        if self.screen.is_started:
            forecast = look_ahead()
            self.cells.forecast(forecast)
            if forecast.warning and not self.flags.quiet:
                self.say(forecast.warning)

    def on_start(self, spec: AnySpec) -> None:
        """Begin with a run."""
        cell = self.cells.start(spec, time.monotonic())
        self._show()
        self._detail(cell, "started")

    def on_progress(self, spec: AnySpec, progress: Progress) -> None:
        """Take over how far a run is."""
        if cell := self.cells.going.get(spec.run_id):  # one that is lost may be heard of later
            now = time.monotonic()
            cell.hear(progress, now)
            if not (self.live or self.flags.quiet or self.warned) and now - cell.started > _SURE:
                self._warn_of_hours(now)

    def on_epoch(self, spec: RunSpec, log: EpochLog) -> None:
        """Show the epoch's loss, accuracies and rates, and the time left."""
        cell, now = self.cells.going[spec.run_id], time.monotonic()
        cell.news = (
            f"loss {log.loss:.3f}  val clean {log.val_clean_acc:.1%}  PGD-10 {log.val_pgd_acc:.1%}"
        )
        if (throughput := Throughput.of([log])) is not None:
            cell.news += f"  {throughput_words(throughput)}"
        last = log.epoch == spec.recipe.epochs
        if self.flags.verbose or last or now - cell.said > QUIET_SECONDS:
            cell.said = now
            left = cell.left(now)
            told = "" if left is None else f"  {duration(left)} left"
            self._detail(cell, f"epoch {log.epoch}/{spec.recipe.epochs}  {cell.news}{told}")

    def on_attack(
        self, spec: RunSpec | EvalSpec, threat: str, attack: str, accuracy: float
    ) -> None:
        """Show what accuracy one attack has left."""
        cell = self.cells.going[spec.run_id]
        cell.news = f"{accuracy:.1%} after {attack}"
        self._detail(cell, f"{attack_words(spec.scoring)} at {threat}: {cell.news}")

    def on_note(self, spec: AnySpec, line: str) -> None:
        """Say what was not as it should be."""
        cell = self.cells.going.get(spec.run_id)
        name = self._title(cell) if cell else spec_words(spec)
        self.say(f"{name}: {line}", error=self.flags.quiet)

    def on_end(self, ending: Ending) -> None:
        """Say how a run has ended."""
        failed = ending.error is not None
        cell = self.cells.end(ending.spec.run_id, failed, time.monotonic())
        lines = [f"failed: {ending.error}"] if failed else []
        if (record := ending.evaluation or ending.record) is not None:
            lines += score_lines(record.evaluations, record.unions)
        if ending.left is not None:
            lines.append(ending.left)
        for line in lines:
            if failed or not self.flags.quiet:
                self.say(f"{self._title(cell)}: {line.strip()}", error=self.flags.quiet)
        if self.cells.ended == self.cells.total:  # where nobody leaves a ``with``
            self.screen.stop()

    def say(self, line: str, error: bool = False) -> None:
        """Print one line, above those that show how runs go on."""
        if self.screen.is_started:
            self.screen.say(line)
        else:
            say(line, error=error or self.flags.json)

    def _warn_of_hours(self, now: float) -> None:
        """Warn of what a terminal was told by a forecast; elsewhere nothing is measured for it."""
        left = self.cells.left(now)
        if left is not None and (warning := hours_warning(left, "this machine")) is not None:
            self.warned = True
            self.say(warning)

    def _show(self) -> None:
        if self.live and not self.flags.quiet and not self.screen.is_started:
            self.screen.start(refresh=True)

    def _detail(self, cell: RunLine, line: str) -> None:
        """Print news that a terminal shows as they come, where they are wanted as lines."""
        if self.flags.verbose or not (self.live or self.flags.quiet):
            self.say(f"{self._title(cell)}: {line}")

    def _title(self, cell: RunLine) -> str:
        number = f"[{cell.number}/{self.cells.total}] " if self.cells.total else ""
        return f"{number}{cell.called or spec_words(cell.spec)}"

    def _frame(self) -> Text:
        plain = not self.console.encoding.startswith("utf")
        size = self.console.size
        return grid_frame(self.cells, time.monotonic(), size.width, size.height, plain)


class GridDisplay(Display):
    """A display that also says what is planned, and keeps count of what has failed."""

    def __init__(self, given: Mapping[str, Any], flags: Flags = NO_FLAGS) -> None:
        super().__init__(flags)
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
        lines = [f"{runs_words(len(states))}: {summary}{forced}"]
        if counts["done"] and not given["force"]:
            if given["save_adversarial"] or given["diagnose"]:
                again = waiting - counts["to run"] - counts["to resume"]
                again -= counts["failed"] * given["retry_failed"]
                lines.append(
                    f"of what is done {again} are scored again, as evaluations beside them"
                    if again
                    else "what is done has all that is asked for"
                )
            if given["reference"]:
                lines.append(
                    "what is done keeps its reference: `regmix-bench report --reference` takes"
                    " another"
                )
        if not self.flags.quiet:
            say(*lines)
        if not given["dry_run"]:
            super().on_plan(states, waiting)

    def on_end(self, ending: Ending) -> None:
        super().on_end(ending)
        self.failed.discard(ending.spec.run_id)
        if ending.error is not None:
            self.failed.add(ending.spec.run_id)
