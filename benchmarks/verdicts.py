"""Whether what a table claims is so: verdicts, best group and intervals on simulated tables.

How images and seeds vary is said in ``simulated.py``. First, tables of 2 to 26 methods, 1 to 7
seeds (one and two are too few), all equal or normal about their mean with a standard deviation of 2
or 10 points, go through :func:`~regmix_bench.analysis.standings.standings`, and whatever
contradicts in what it says is counted: mark, intervals, verdict, p value and order. Nothing may. A
false claim is one of any row: better or worse where it is not, denied the best group though nothing
is better, or an interval beside the truth. It is to be in 5 % of tables at most.

Then, of fewer tables of each kind: false claims, in no more than chance makes of 5 % (8 % of 500
tables, 5.7 % of 10,000), or the exit status is 1, and beside them the tables of equal methods in
which Welch's test with Holm's correction calls a row better or worse than the reference. The power
is the chance that a row is found whose values are 2, 5 or 10 points above the reference's, mean
over the rows. ``group`` is the mean share of the rows of the best group that are truly best where
one is ahead of all others by 5 or 10 points: 100 % where it is always found alone.

Measured on 10,000 mixed tables: none contradicts itself (nor, on 27 November 2026, when the code
had been divided anew, any of the first 1,500). A false claim is in 2.4 % of those of
equal methods, 0.8 % at 2 points apart and 1.0 % at 10. There, of 13 rows 11.5 and 3.8 are of the
best group; of the rows at least 5 points from the reference, 24 % and 63 % are found. Of 300 tables
of each of 135 kinds 6.3 % make a false claim at most, and with Welch's test 30 %. That was chance:
of 10,000 of the two kinds that had it, 3.7 % and 4.4 % do, and 4.6 % of the worst of 12 kinds of
which as many were simulated, those where some vary by 5 points and others not at all. Where one of
26 methods is 10 points ahead of all others, 6 seeds that vary by 1.5 points nearly always find it
alone, and 3 seeds seldom.

    python benchmarks/verdicts.py [--tables 10000] [--each 500] [--json verdicts.json]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from mixed_tables import print_mixed
from scipy import special, stats
from simulated import (
    CHUNK,
    COMPARISONS,
    DEVIATIONS,
    SEEDS,
    Floats,
    first_rows,
    one_of,
    simulate,
)

from regmix_bench.analysis.best import Best
from regmix_bench.analysis.methods import LEVEL, SplitPlot
from regmix_bench.analysis.pairs import Pairs

#: How likely as many false claims of a kind are to be chance, where 5 % is what it makes: of the
#: 405 errors that are printed.
CHANCE = 0.001
DIFFERENCES = (0.02, 0.05, 0.10)
#: By how much one method is ahead.
AHEAD = (0.05, 0.10)
#: Simulated tables behind the intervals of each table of a kind: fewer than the package draws.
KIND_DRAWS = 1999


@dataclass(frozen=True)
class Result:
    """The false claims and the power of one kind of table."""

    deviations: str
    seeds: int
    reference_seeds: int
    comparisons: int
    #: By truth: the share of tables with a false claim.
    errors: dict[str, float]
    welch_error: float
    power: tuple[float, ...]
    group: tuple[float, ...]


def main() -> None:
    """Simulate, print, and exit with 1 where claims contradict or an error is too large."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--tables", type=int, default=10_000)
    arguments.add_argument("--each", type=int, default=500)
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--jobs", type=int, default=2)
    options = arguments.parse_args()
    contradicting = print_mixed(options.tables, options.jobs)
    print(f"{'deviations':22}{'seeds':>7}{'rows':>5}", end="")
    print("".join(f"{truth:>10}" for truth in ("equal", "one ahead", "ladder")), end="")
    print(f"{'Welch':>8}", "".join(f"{f'{100 * d:g} p.':>8}" for d in DIFFERENCES), end="  ")
    print("".join(f"{f'group {100 * d:g}':>10}" for d in AHEAD))
    results = []
    for name in DEVIATIONS:
        for result in measure(name, options.each, options.jobs):
            results.append(result)
            print(
                f"{name:22}{f'{result.seeds}:{result.reference_seeds}':>7}{result.comparisons:5}"
                + "".join(f"{error:10.1%}" for error in result.errors.values())
                + f"{result.welch_error:8.1%} "
                + "".join(f"{power:8.0%}" for power in result.power)
                + "  "
                + "".join(f"{share:10.0%}" for share in result.group),
                flush=True,
            )
    worst = max((max(result.errors.values()) for result in results), default=0.0)
    most = float(stats.binom.ppf(1 - CHANCE, options.each, LEVEL)) / options.each
    print(f"largest error {worst:.1%} of {most:.1%}, with Welch's test", end=" ")
    print(f"{max((result.welch_error for result in results), default=0.0):.1%}")
    if options.json:
        options.json.write_text(json.dumps([vars(result) for result in results], indent=1) + "\n")
    sys.exit(worst > most or contradicting > 0)


def measure(name: str, tables: int, jobs: int = 1) -> Iterator[Result]:
    """Measure every kind of table with these deviations; those of few rows are parts of the large.

    Likewise those of few seeds.
    """
    chunks = Parallel(jobs)(
        delayed(_measured)(name, min(CHUNK, tables - start), start)
        for start in range(0, tables, CHUNK)
    )
    weights = [min(CHUNK, tables - start) for start in range(0, tables, CHUNK)]

    def mean(shares: list[float]) -> float:
        return float(np.average(shares, weights=weights))

    for parts in zip(*chunks, strict=True):
        yield replace(
            parts[0],
            errors={truth: mean([p.errors[truth] for p in parts]) for truth in parts[0].errors},
            welch_error=mean([part.welch_error for part in parts]),
            power=tuple(mean([p.power[at] for p in parts]) for at in range(len(DIFFERENCES))),
            group=tuple(mean([p.group[at] for p in parts]) for at in range(len(AHEAD))),
        )


def _measured(name: str, tables: int, start: int) -> list[Result]:
    simulated = simulate(name, tables, start)
    return [judge(name, first_rows(simulated[counts], k)) for counts in SEEDS for k in COMPARISONS]


def judge(name: str, equal: SplitPlot) -> Result:
    """Count false claims and finds in tables (T, …) of equal methods, moved to other truths."""
    k = len(equal.seeds) - 1
    first = np.arange(k + 1) == 0
    ladder = np.append(-np.linspace(0, 0.1, k), -0.05)
    truths = {"equal": np.zeros(k + 1), "one ahead": AHEAD[0] * first, "ladder": ladder}
    false = dict.fromkeys(truths, 0)
    power, group = np.zeros(len(DIFFERENCES)), np.zeros(len(AHEAD))
    tables = len(equal.means)
    for place in range(tables):
        pairs = Pairs.of(one_of(equal, place), KIND_DRAWS)
        for truth, accuracies in truths.items():
            false[truth] += claims_what_is_not(moved(pairs, accuracies), accuracies)
        values, half = pairs.values[:-1, k], pairs.half_widths()[:-1, k]
        power += [(values + shift > half).mean() for shift in DIFFERENCES]
        for at, amount in enumerate(AHEAD):
            members = Best.of(moved(pairs, amount * first)).members
            group[at] += members[0] / members.sum()
    least = welch_p_values(equal).min(axis=1)
    return Result(
        deviations=name,
        seeds=int(equal.seeds[0]),
        reference_seeds=int(equal.seeds[-1]),
        comparisons=k,
        errors={truth: count / tables for truth, count in false.items()},
        welch_error=float((k * least < LEVEL).mean()),
        power=tuple(power / tables),
        group=tuple(group / tables),
    )


def moved(pairs: Pairs, truth: Floats) -> Pairs:
    """Return the comparison of methods whose accuracies are ``truth`` (G,) higher."""
    values = pairs.values + truth[:, None] - truth[None, :]
    return replace(pairs, alone=replace(pairs.alone, values=values))


def claims_what_is_not(pairs: Pairs, truth: Floats) -> bool:
    """Say whether any interval, or the best group, claims what ``truth`` (G,) is not."""
    low, high = pairs.intervals()
    differences = truth[:, None] - truth[None, :]
    best = Best.of(pairs)
    others = np.where(np.eye(len(truth), dtype=bool), -np.inf, truth).max(axis=1)
    wrong = (differences < low - 1e-12) | (differences > high + 1e-12)
    lead = truth - others
    beside = (lead < best.low - 1e-12) | (lead > best.high + 1e-12)
    return bool(wrong.any() or beside.any() or (~best.members & (lead >= 0)).any())


def welch_p_values(tables: SplitPlot) -> Floats:
    """Return the p values of Welch's test, by Satterthwaite's degrees of freedom."""
    residuals = tables.residuals / tables.seeds
    own = np.diagonal(tables.covariances, axis1=1, axis2=2)
    images = own[:, :-1] + own[:, -1:] - 2 * tables.covariances[:, :-1, -1]
    images = np.maximum(images - residuals[:, :-1] - residuals[:, -1:], 0)
    seen = tables.seed_means / tables.seeds
    variance = images + seen[:, :-1] + seen[:, -1:]
    uncertain = seen[:, :-1] ** 2 / (tables.seeds[:-1] - 1)
    uncertain = uncertain + seen[:, -1:] ** 2 / (tables.seeds[-1] - 1)
    df = variance**2 / np.maximum(uncertain, 1e-300)
    values = tables.means[:, :-1] - tables.means[:, -1:]
    p_values: Floats = 2 * special.stdtr(df, -np.abs(values) / np.sqrt(variance))
    return p_values


if __name__ == "__main__":
    main()
