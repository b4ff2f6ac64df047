"""Rules about numbers: seeds, runs that were left out, deviations, and what bears a number out."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator

from regmix_bench.sheets.measuring import AUTOATTACK, CLEAN, seen_numbers
from regmix_bench.sheets.rule import Breach, Rule, each_row
from regmix_bench.sheets.sheet import SheetRow, SheetTable

#: Fewer seeds have no standard deviation worth the name.
FEWEST_SEEDS = 3
#: In percent: a number that is printed to two decimals is off by half of the last.
_ROUNDING = 0.0051


def _unlike_seeds(table: SheetTable) -> Iterator[Breach]:
    seeds = {row.method: tuple(sorted(run.seed for run in row.runs)) for row in table.rows}
    given = [found for found in seeds.values() if found]
    if not given:
        return
    usual, count = Counter(given).most_common(1)[0]
    for method, found in seeds.items():
        if found and found != usual:
            missing = ", ".join(map(str, sorted({*usual} - {*found}))) or "none"
            more = ", ".join(map(str, sorted({*found} - {*usual}))) or "none"
            said = f"of the seeds of {count} of {len(given)} rows it lacks {missing}"
            yield Breach(method, f"{said}, and has {more} beyond them")


def _left_out(row: SheetRow) -> str | None:
    gone = [run for run in row.runs if not run.counted]
    if not gone:
        return None
    shown = "; ".join(
        f"seed {run.seed}" + (f" ({run.why_left_out})" if run.why_left_out else "") for run in gone
    )
    return f"{len(gone)} of {len(row.runs)} runs are not in its numbers: {shown}"


def _few_seeds(row: SheetRow) -> str | None:
    n = len(row.counted)
    if not row.numbers or n >= FEWEST_SEEDS:
        return None
    return f"{n} seed{'' if n == 1 else 's'}, which say nothing of what another seed gives"


def _no_deviation(table: SheetTable) -> Iterator[Breach]:
    """Yield a row without deviation or interval of what it is compared by."""
    compared = {CLEAN, AUTOATTACK, table.ranked_by}
    for row in table.rows:
        bare = [
            name
            for name, claim in row.numbers.items()
            if name in compared and claim.deviation is None and claim.interval is None
        ]
        if bare:
            yield Breach(row.method, f"no deviation or interval of {', '.join(bare)}")


def _no_file(row: SheetRow) -> str | None:
    if row.files or (row.runs and all(run.record for run in row.runs)):
        return None
    return "no file or record is named that bears its numbers out"


def unlike_its_runs(row: SheetRow) -> str | None:
    """Say where a mean or a deviation is not that of the runs which it counts; None nowhere."""
    wrong = []
    for name, claim in row.numbers.items():
        values = [run.numbers[name] for run in row.counted if name in run.numbers]
        if not values or len(values) < len(row.counted):
            continue
        mean = statistics.fmean(values)
        if abs(mean - claim.mean) > _ROUNDING:
            wrong.append(f"{name} {claim.mean:.2f}, and {mean:.2f} by its runs")
        elif claim.deviation is not None and len(values) > 1:
            deviation = statistics.stdev(values)
            # Each value is rounded as well, which moves a deviation by as much again.
            if abs(deviation - claim.deviation) > 2 * _ROUNDING:
                wrong.append(f"{name} ± {claim.deviation:.2f}, and ± {deviation:.2f} by its runs")
    return "; ".join(wrong) or None


def _impossible(row: SheetRow) -> str | None:
    """Say where an attack leaves more than there was, or a mean lies outside of its interval."""
    wrong = [
        f"{name} {claim.mean:.2f} lies outside of its interval, {low:.2f} to {high:.2f}"
        for name, claim in row.numbers.items()
        for low, high in [claim.interval or (0.0, 100.0)]
        if not low - _ROUNDING <= claim.mean <= high + _ROUNDING
    ]
    for where, numbers in seen_numbers(row):
        clean = numbers.get(CLEAN, 100.0)
        wrong += [
            f"{name} leaves {share:.2f} %, where {clean:.2f} % are right without it{where}"
            for name, share in numbers.items()
            if share > clean + _ROUNDING
        ]
    return "; ".join(wrong) or None


RULES = (
    Rule(
        "unlike-seeds",
        "rows have unlike seeds",
        "seeds that are missing may be those that went badly, and seeds that all rows share cancel"
        " in a difference",
        ("runs",),
        _unlike_seeds,
    ),
    each_row(
        "run-left-out",
        "a run that was trained is not in the numbers",
        "a mean without the runs that collapsed is that of a method which never collapses: two of"
        " three seeds of RS-AAER and of N-AAER fell to chance and were deleted (FastAT Benchmark,"
        " arXiv:2604.22853, commit 4387d23)",
        ("runs",),
        _left_out,
    ),
    each_row(
        "too-few-seeds",
        f"fewer than {FEWEST_SEEDS} seeds",
        "two seeds of one method often differ significantly: 44 of 246 pairs on digits at 32/255 by"
        " McNemar's test (measured here)",
        ("runs", "numbers"),
        _few_seeds,
    ),
    Rule(
        "no-deviation",
        "a number has neither deviation nor interval",
        "standard deviations over seeds run from 0.1 to 25 points (FastAT Benchmark,"
        " arXiv:2604.22853); without one no difference can be judged",
        ("numbers", "table.ranked_by"),
        _no_deviation,
    ),
    each_row(
        "numbers-without-file",
        "no file bears the numbers out",
        "what nobody can look up nobody can check",
        ("files", "runs"),
        _no_file,
    ),
    each_row(
        "number-not-borne-out",
        "a number is not what its runs or its files give",
        "it was mistyped, edited, or is of other runs or other weights than the row says",
        ("numbers", "runs"),
        unlike_its_runs,
    ),
    each_row(
        "impossible-number",
        "a number cannot be",
        "no attack leaves more than is right without it, and a mean lies in its interval: one of"
        " the two was mistyped, or is of other images or other weights",
        ("numbers", "runs"),
        _impossible,
    ),
)
