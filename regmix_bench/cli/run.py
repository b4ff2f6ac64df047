"""Print how ``run`` goes on, and what it ends with."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from regmix_bench.api.planned import Plan
from regmix_bench.api.report import report
from regmix_bench.api.run import run
from regmix_bench.api.show import show
from regmix_bench.cli.commands import Call, add_command, next_line
from regmix_bench.cli.flags import QUIETLY
from regmix_bench.cli.layout import runs_words, terminal_width
from regmix_bench.cli.printing import say, say_folded
from regmix_bench.cli.times import duration

if TYPE_CHECKING:
    from regmix_bench.cli.display import GridDisplay
    from regmix_bench.records.schema import RunRecord
    from regmix_bench.specs import RunSpec


@add_command(
    run,
    "regmix-bench run --methods 'trades,fgsm-pgi[lambda_=1]' --eps 8/255,16/255",
    flags={**QUIETLY, "verbose": "Print a line for each epoch and attack."},
)
def print_grid(call: Call[Any]) -> None:
    """Print the plan, how its runs go on, and a table; exit 1 where one has failed."""
    from regmix_bench.cli.display import GridDisplay

    started = time.monotonic()
    display = GridDisplay(call.keywords, call.flags)
    try:
        with display:
            found = call(observer=display)
    except KeyboardInterrupt:
        if not display.cells.number:  # nothing has begun
            raise
        after = duration(time.monotonic() - started)
        say(f"{display.cells.ended} of {runs_words(display.cells.total)} ended in {after}")
        for cell in display.cells.going.values():
            say_folded(f"stopped: {cell.name}, seed {cell.spec.seed}: {next(cell.stages())}")
        say("interrupted: the same command resumes at the last checkpoint", error=True)
        raise typer.Exit(130) from None
    if isinstance(found, Plan):
        _print_plan(found, call.keywords)
    else:
        _print_results(found, display, call.keywords, time.monotonic() - started)
    if display.failed:
        raise typer.Exit(1)


def _print_plan(plan: Plan, given: Mapping[str, Any]) -> None:
    """Print the runs and, of those that are to be run on this machine, what they will take."""
    from regmix_bench.cli.plan import forecast_lines, plan_lines

    width = terminal_width()
    forecast = plan.look_ahead() if plan.waiting else None
    say(*plan_lines(plan, forecast, width))
    if forecast is not None:
        say(*forecast_lines(forecast, given["results"], width))
    _print_apart(plan.specs)


def _print_results(
    found: Sequence[RunRecord], display: GridDisplay, given: Mapping[str, Any], seconds: float
) -> None:
    """Print the scores of all runs of the grid, what this command took, and what may come next."""
    from regmix_bench.cli.results import DIGITS, result_lines

    records = list(found)
    lines = list(result_lines(records, terminal_width()))
    if lines:
        say(*lines)
    done = [record for record in records if record.status == "success"]
    _print_apart(record.spec for record in done)
    if display.cells.number:
        runs = f"{runs_words(display.cells.number)} in {duration(seconds)}"
        say_folded(f"{runs}, recorded in {given['results']}")
    if display.failed:
        total = runs_words(len(display.states))
        say_folded(f"{len(display.failed)} of {total} failed: --retry-failed tries again")
    elif done:
        one = len(done) == 1
        typed = done[0].run_id[:DIGITS] if one else ""
        say(next_line(show if one else report, typed, given))


def _print_apart(specs: Iterable[RunSpec]) -> None:
    from regmix_bench.analysis.apart import tables_apart
    from regmix_bench.records.tricks import tricks_of

    if apart := tables_apart((spec, tricks_of(spec)) for spec in specs):
        say_folded(apart)
