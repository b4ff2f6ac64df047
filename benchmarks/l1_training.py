"""Training under L1 against training under L∞, scored by AutoAttack under L1 and under both.

PGD-AT is trained on digits with the same recipe and seeds under each norm, and every model is
scored under both. The difference at L1 is over seeds and images together, with the 95 % interval of
tables; so is that of the union. What is recorded in the folder already is not run again.

Two-core AVX2 CPU, 15 epochs, 3 seeds, apgd-ce and apgd-t in place of AutoAttack, 360 images:

    under L1 2: 59.9 % hold of those trained under L1, 7.8 % of those under L∞: +52.1 points
    [+46.6, +57.7]; under L∞ 32/255 48.6 % and 80.4 %: -31.8 [-40.3, -23.2]; under both 47.6 %
    and 7.8 %: +39.8 [+31.8, +47.8]

    python benchmarks/l1_training.py RESULTS [--seeds 0,1,2,3,4,5] [--epochs 30] [--attacks …]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from regmix_bench import run
from regmix_bench.analysis.pairs import compare_methods
from regmix_bench.records.outcomes import read_outcomes, recorded_outcomes
from regmix_bench.records.paths import find_record
from regmix_bench.records.schema import RunRecord
from regmix_bench.records.unions import held_under_all

NORMS = {"L1": "2", "Linf": "32/255"}


def trained(norm: str, options: argparse.Namespace) -> list[tuple[Path, RunRecord]]:
    """The runs under one norm, by seed, with the files that hold them."""
    found = run(
        methods="pgd-at",
        norm=norm,
        eps=NORMS[norm],
        threats=[f"{name}:{epsilon}" for name, epsilon in NORMS.items()],
        seeds=options.seeds,
        settings=(f"recipe.epochs={options.epochs}",),
        attacks=options.attacks,
        results=options.results,
    )
    placed = ((find_record(options.results, record.spec), record) for record in found)
    return [(path, record) for path, record in placed if path is not None]


def right(runs: Sequence[tuple[Path, RunRecord]], norms: Sequence[str]) -> np.ndarray:
    """Whether each image holds under all of ``norms``, (seeds, images)."""
    rows = []
    for path, record in runs:
        scores = [
            score
            for score in record.evaluations
            if score.checkpoint == "selected" and score.threat.norm in norms
        ]
        flags = []
        for score in scores:
            file = recorded_outcomes(path, score)
            assert file is not None
            flags.append(read_outcomes(file, score)[["autoattack_acc"]])
        rows.append(held_under_all(flags)["autoattack_acc"].to_numpy())
    return np.array(rows)


def main() -> None:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--seeds", default="0,1,2,3,4,5")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--attacks")
    options = parser.parse_args()
    runs = {norm: trained(norm, options) for norm in NORMS}
    for name, norms in {"L1 2": ["L1"], "L∞ 32/255": ["Linf"], "both": list(NORMS)}.items():
        flags = [right(runs[norm], norms) for norm in NORMS]
        pairs = compare_methods(flags)
        low, high = pairs.intervals()
        by_l1, by_linf = (100 * each.mean() for each in flags)
        print(
            f"under {name}: {by_l1:.1f} % hold of those trained under L1, {by_linf:.1f} % of those"
            f" under L∞: {100 * pairs.values[0, 1]:+.1f} points"
            f" [{100 * low[0, 1]:+.1f}, {100 * high[0, 1]:+.1f}]"
        )


if __name__ == "__main__":
    main()
