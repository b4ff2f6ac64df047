"""Whether what a table claims is so: verdicts, best group and intervals on simulated tables.

An image is right where its ease, in common to all methods, the method's own ease with it, the
seed's deviation and noise add up to more than 0, all normal. Every method has an accuracy of 80 %
in expectation over images and seeds, moved by what the truth says. The latent deviations from seed
to seed are given in points of accuracy, alike in all methods or unlike.

First, tables of 2 to 26 methods, 1 to 7 seeds (one and two are too few), all equal or normal about
their mean with a standard deviation of 2 or 10 points, go through
:func:`~regmix_bench.analysis.standings.standings`, and whatever contradicts in what it says is
counted: mark, intervals, verdict, p value and order. Nothing may. A false claim is one of any row:
better or worse where it is not, denied the best group though nothing is better, or an interval
beside the truth. It is to be in 5 % of tables at most.

Then, of fewer tables of each kind: false claims, in no more than chance makes of 5 % (8 % of 500
tables, 5.7 % of 10,000), or the exit status is 1, and beside them the tables of equal methods in
which Welch's test with Holm's correction calls a row better or worse than the reference. The power
is the chance that a row is found whose values are 2, 5 or 10 points above the reference's, mean
over the rows. ``group`` is the mean share of the rows of the best group that are truly best where
one is ahead of all others by 5 or 10 points: 100 % where it is always found alone.

Measured on 10,000 mixed tables: none contradicts itself. A false claim is in 2.4 % of those of
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
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from scipy import special, stats

from regmix_bench.analysis.best import Best
from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.methods import LEVEL, SplitPlot
from regmix_bench.analysis.pairs import Pairs
from regmix_bench.analysis.standings import Standings, standings

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

IMAGES = 360
ACCURACY = 0.8
#: Standard deviations of the latent ease of an image, and of a method's own ease with it.
EASE, OWN = 3.0, 0.6
#: How likely as many false claims of a kind are to be chance, where 5 % is what it makes: of the
#: 405 errors that are printed.
CHANCE = 0.001
DIFFERENCES = (0.02, 0.05, 0.10)
#: By how much one method is ahead.
AHEAD = (0.05, 0.10)
#: Standard deviations of true accuracies, 0 where all are equal.
SPREADS = (0.0, 0.02, 0.1)
#: Compared methods; the reference comes on top.
COMPARISONS = (1, 2, 5, 12, 25)
#: Of each method, and of the reference.
SEEDS = ((3, 3), (6, 6), (6, 12))
#: Deviations from seed to seed, in points: of the methods in turn, and of the reference.
DEVIATIONS: dict[str, tuple[tuple[float, ...], float]] = {
    "0": ((0.0,), 0.0),
    "1.5": ((1.5,), 1.5),
    "2.5": ((2.5,), 2.5),
    "5": ((5.0,), 5.0),
    "5 and 0": ((5.0, 0.0), 0.0),
    "0.5 to 5": ((0.5, 1.5, 2.5, 5.0), 1.5),
    "one of 5, others 1.5": ((5.0, *(1.5,) * (max(COMPARISONS) - 1)), 1.5),
    "5, reference 0": ((5.0,), 0.0),
    "0, reference 5": ((0.0,), 5.0),
}
#: Tables of one call, which has its own random numbers, and at a time, for memory.
CHUNK, BATCH = 250, 50
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


class Told(NamedTuple):
    """What was found of one mixed table."""

    spread: float
    contradicts: bool
    false: bool
    #: Of the rows with seeds enough, and of the best group; which of both are truly best.
    rows: int
    group: int
    best_found: int
    #: Of the rows at least 5 points from the reference: how many, and how many are found.
    far: int
    far_found: int


def print_mixed(tables: int, jobs: int = 1) -> int:
    """Print what tables of all sizes, seeds and truths say; returns how many contradict."""
    chunks = Parallel(jobs)(
        delayed(_mixed)(min(CHUNK, tables - start), start) for start in range(0, tables, CHUNK)
    )
    told = [one for chunk in chunks for one in chunk]
    contradicting = sum(one.contradicts for one in told)
    print(f"{contradicting} of {len(told)} mixed tables contradict themselves")
    for spread in SPREADS:
        here = [one for one in told if one.spread == spread and one.rows > 1]
        false, group = (np.mean([getattr(o, n) for o in here]) for n in ("false", "group"))
        far = max(sum(one.far for one in here), 1)
        print(
            f"methods {100 * spread:g} points apart: {false:.1%} of {len(here)} tables make a false"
            f" claim; of {np.mean([one.rows for one in here]):.1f} rows {group:.1f} are of the best"
            f" group, of which {np.mean([one.best_found / one.group for one in here]):.0%} are"
            f" truly best; {sum(one.far_found for one in here) / far:.0%} of the rows at least 5"
            " points from the reference are found",
            flush=True,
        )
    return contradicting


def _mixed(tables: int, start: int) -> list[Told]:
    rng = np.random.default_rng([start, 99])
    return [told(*mixed(rng)) for _ in range(tables)]


def mixed(rng: np.random.Generator) -> tuple[float, Standings, dict[str, float]]:
    """Draw one table of any kind, let it be judged, and return the true accuracies too."""
    methods = int(rng.integers(2, max(COMPARISONS) + 2))
    spread = float(rng.choice(SPREADS))
    deviations = rng.choice([0.0, 0.015, 0.05], methods)
    seeds = rng.integers(1 if rng.random() < 0.3 else 3, 8, methods)
    truth = {str(place): ACCURACY + rng.normal(0, spread) for place in range(methods)}
    truth = {label: float(np.clip(accuracy, 0.01, 0.99)) for label, accuracy in truth.items()}
    ease = EASE * rng.standard_normal((1, 1, IMAGES), dtype=np.float32)
    rights = {
        label: draw(rng, ease, int(n), deviation, accuracy)[0]
        for (label, accuracy), n, deviation in zip(truth.items(), seeds, deviations, strict=True)
    }
    means = {
        label: Stat.of(map(float, flags.mean(axis=1)), IMAGES) for label, flags in rights.items()
    }
    return spread, standings(means, rights, "0" if rng.random() < 0.9 else None), truth


def told(spread: float, table: Standings, truth: dict[str, float]) -> Told:
    """Compare what a table says with what is true."""
    judged = [row for row in table.rows if row.lead is not None]
    most = max((truth[row.label] for row in judged), default=0.0)
    false, far, far_found = False, 0, 0
    for row in judged:
        others = max(truth[other.label] for other in judged if other is not row)
        low, high = row.lead.interval if row.lead else (-1.0, 1.0)
        false |= not low <= truth[row.label] - others <= high
        false |= not row.best and truth[row.label] >= most
        if row.verdict is not None and row.verdict.interval is not None:
            difference = truth[row.label] - truth[table.reference or ""]
            false |= not row.verdict.interval[0] <= difference <= row.verdict.interval[1]
            far += abs(difference) >= AHEAD[0]
            found = "better" if difference > 0 else "worse"
            far_found += abs(difference) >= AHEAD[0] and row.verdict.relation == found
    best_found = sum(truth[row.label] >= most for row in judged if row.best)
    group = len(table.best)
    contradicts = bool(contradictions(table))
    return Told(spread, contradicts, false, len(judged), group, best_found, far, far_found)


def contradictions(table: Standings) -> list[str]:
    """List what in the claims of one table contradicts other claims of it."""
    found = []
    reference = table.by_label.get(table.reference or "")
    judged = [row for row in table.rows if row.lead is not None]
    for row in table.rows:
        enough = row.seeds >= 3
        verdict, lead = row.verdict, row.lead
        if (lead is None) != (not enough or len(judged) < 2):
            found.append(f"{row.label} has seeds enough or not")
        if lead is not None:
            low, high = lead.interval
            if not low <= lead.difference <= high:
                found.append(f"{row.label} is not within its own distance to the best")
            if row.best != (high > 0) or (low >= 0) != (table.best == (row.label,)):
                found.append(f"{row.label} is marked unlike its distance to the best")
        elif row.best:
            found.append(f"{row.label} is marked without claims")
        if verdict is None or verdict.interval is None or verdict.p_value is None:
            continue
        low, high = verdict.interval
        better, worse = verdict.relation == "better", verdict.relation == "worse"
        if (better, worse) != (low > 0, high < 0):
            found.append(f"{row.label}: verdict and interval")
        if (better or worse) != (verdict.p_value < LEVEL):
            found.append(f"{row.label}: verdict and p value")
        if not low <= verdict.difference <= high:
            found.append(f"{row.label} is not within its own interval")
        if verdict.relation == "equivalent" and not -0.01 < low <= high < 0.01:
            found.append(f"{row.label} is equivalent and far")
        if worse and row.best:
            found.append(f"{row.label} is of the best group and worse than the reference")
        if better and reference is not None and reference.best:
            found.append(f"{row.label} is better than the reference, of the best group")
    if judged and not judged[0].best:
        found.append("the highest mean is not of the best group")
    ranks = [row.rank for row in table.rows]
    means = [row.mean.mean for row in table.rows if row.mean is not None]
    if ranks != sorted(ranks, key=lambda rank: rank or 0) or np.any(np.diff(means) > 1e-9):
        found.append("the order is not that of the means")
    return found


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


def one_of(tables: SplitPlot, place: int) -> SplitPlot:
    """Return one table of several."""
    return SplitPlot(
        tables.means[place],
        tables.covariances[place],
        tables.seed_means[place],
        tables.residuals[place],
        tables.seeds,
        tables.n_images,
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


def first_rows(tables: SplitPlot, comparisons: int) -> SplitPlot:
    """Leave all but the first rows of each table away, and keep the reference."""
    kept = [*range(comparisons), -1]
    return SplitPlot(
        tables.means[:, kept],
        tables.covariances[:, kept][:, :, kept],
        tables.seed_means[:, kept],
        tables.residuals[:, kept],
        tables.seeds[kept],
        tables.n_images,
    )


def simulate(name: str, tables: int, start: int) -> dict[tuple[int, int], SplitPlot]:
    """Simulate tables of the most rows, by the numbers of seeds of a method and the reference."""
    rng = np.random.default_rng([start, list(DEVIATIONS).index(name)])
    turns, reference = DEVIATIONS[name]
    rows = max(COMPARISONS)
    deviations = np.array([*(turns[row % len(turns)] for row in range(rows)), reference]) / 100
    counts = [max(own for own, _ in SEEDS)] * rows + [max(most for _, most in SEEDS)]
    found: dict[tuple[int, int], list[SplitPlot]] = {pair: [] for pair in SEEDS}
    for first in range(0, tables, BATCH):
        batch = min(BATCH, tables - first)
        ease = EASE * rng.standard_normal((batch, 1, IMAGES), dtype=np.float32)
        flags = [
            draw(rng, ease, seeds, deviation)
            for seeds, deviation in zip(counts, deviations, strict=True)
        ]
        for own, most in SEEDS:
            found[own, most].append(statistics(flags, np.array([own] * rows + [most])))
    return {pair: joined(parts) for pair, parts in found.items()}


def draw(
    rng: np.random.Generator,
    ease: NDArray[np.float32],
    seeds: int,
    deviation: float,
    accuracy: float = ACCURACY,
) -> Flags:
    """Draw the flags (tables, seeds, images) of one method of so much expected accuracy."""
    quantile = float(special.ndtri(accuracy))
    spread = np.sqrt(EASE**2 + OWN**2 + 1)
    # In units of the noise: what moves accuracy by so much, and what keeps its mean.
    latent = deviation * spread / (np.exp(-(quantile**2) / 2) / np.sqrt(2 * np.pi))
    middle = quantile * np.sqrt(spread**2 + latent**2)
    own = OWN * rng.standard_normal(ease.shape, dtype=np.float32)
    shifts = latent * rng.standard_normal((len(ease), seeds, 1))
    easy = ease + own + (middle + shifts).astype(np.float32)
    flags: Flags = rng.standard_normal(easy.shape, dtype=np.float32) < easy
    return flags


def statistics(flags: list[Flags], seeds: NDArray[np.int64]) -> SplitPlot:
    """Take from the first ``seeds`` of each method what the package takes, many tables at once."""
    means, seed_means, residuals = [], [], []
    for one, n in zip(flags, seeds, strict=True):
        some = one[:, :n]
        accuracies = np.count_nonzero(some, axis=2) / IMAGES
        mean = np.count_nonzero(some, axis=1) / n
        single = (accuracies * (1 - accuracies)).mean(axis=1) * IMAGES / (IMAGES - 1)
        means.append(mean)
        seed_means.append(accuracies.var(axis=1, ddof=1))
        residuals.append((single - mean.var(axis=1, ddof=1)) * n / (n - 1) / IMAGES)
    by_image = np.stack(means, axis=1)
    centred = by_image - by_image.mean(axis=2, keepdims=True)
    return SplitPlot(
        by_image.mean(axis=2),
        centred @ centred.swapaxes(1, 2) / (IMAGES - 1) / IMAGES,
        np.stack(seed_means, axis=1),
        np.stack(residuals, axis=1),
        seeds,
        IMAGES,
    )


def joined(parts: list[SplitPlot]) -> SplitPlot:
    """Put tables of one kind one after another."""
    return SplitPlot(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("means", "covariances", "seed_means", "residuals")
        ),
        parts[0].seeds,
        parts[0].n_images,
    )


if __name__ == "__main__":
    main()
