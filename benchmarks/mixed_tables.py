"""Tables of all sizes, seeds and truths, and whether what is said of them contradicts itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from simulated import ACCURACY, CHUNK, COMPARISONS, EASE, IMAGES, draw

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.methods import LEVEL
from regmix_bench.analysis.standings import Standings, standings

#: By how much, in accuracy, a row is far from the reference.
FAR = 0.05
#: Standard deviations of true accuracies, 0 where all are equal.
SPREADS = (0.0, 0.02, 0.1)


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
            far += abs(difference) >= FAR
            found = "better" if difference > 0 else "worse"
            far_found += abs(difference) >= FAR and row.verdict.relation == found
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
