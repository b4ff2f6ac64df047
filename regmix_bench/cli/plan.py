"""The plan of a grid in print: its runs, and what they will take on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from regmix_bench.cli.layout import aligned, fold
from regmix_bench.cli.times import duration

if TYPE_CHECKING:
    from regmix_bench.api.planned import Plan
    from regmix_bench.grid.plan import PlannedRun
    from regmix_bench.runs.forecast import Forecast

#: Columns before what is said of a fact.
_NAMES = 9


def plan_lines(plan: Plan, forecast: Forecast | None, width: int | None) -> Iterator[str]:
    """Yield a table of the runs of each setting, with their passes where these are known."""
    settings: dict[str, list[PlannedRun]] = {}
    for cell in plan.cells:
        spec = cell.spec
        words = (spec.data_words, spec.arch_words, spec.train_threat, spec.recipe.precision)
        settings.setdefault(" · ".join(map(str, words)), []).append(cell)
    for setting, cells in settings.items():
        yield ""
        yield from fold(setting, width)
        yield from aligned(_table(plan, cells, forecast), width)


def _table(
    plan: Plan, cells: Sequence[PlannedRun], forecast: Forecast | None
) -> list[tuple[str, ...]]:
    from regmix_bench.records.words import model_name

    table: list[tuple[str, ...]] = [("state", "method", "seed", "passes", "time", "run_id")]
    for cell in cells:
        run = forecast.runs.get(cell.run_id) if forecast else None
        table.append(
            (
                plan.states[cell.run_id],
                model_name(cell.spec),
                str(cell.spec.seed),
                "" if run is None else count_words(run.passes),
                "" if run is None or run.seconds is None else duration(run.seconds),
                cell.run_id,
            )
        )
    return table


def forecast_lines(forecast: Forecast, results: object, width: int | None) -> Iterator[str]:
    """Yield what the runs that are to be run will take here, of which data, and where they go."""
    runs = forecast.runs.values()
    facts = []
    if runs:
        training, scoring = sum(run.training for run in runs), sum(run.scoring for run in runs)
        facts.append(
            (
                "passes",
                f"{count_words(training + scoring)} images through networks:"
                f" {count_words(training)} to train, {count_words(scoring)} to score",
            )
        )
        time = "shows once the first runs go on: how fast the nodes are is not known here"
        if forecast.seconds is not None:
            time = (
                f"about {duration(forecast.seconds)} here, be it half or twice that: a step of each"
                " method was counted and each network timed for a second, just now"
            )
        facts.append(("time", time))
    if forecast.warning:
        facts.append(("warning", forecast.warning))
    if forecast.untried:
        facts.append(("unknown", f"{forecast.untried} runs could not be tried"))
    jobs = f"{forecast.jobs} runs at a time" if forecast.jobs > 1 else "one run at a time"
    facts.append(("device", f"{forecast.device}, {jobs}"))
    facts += [("data", f"{name}: {words}") for name, words in forecast.data.items()]
    facts.append(("folder", str(results)))
    yield ""
    for name, words in facts:
        first, *more = fold(words, None if width is None else width - _NAMES)
        yield name.ljust(_NAMES) + first
        yield from (" " * _NAMES + line for line in more)


def count_words(number: float) -> str:
    """Write a large number with three digits: ``3.21 M``."""
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"
