"""What lower precision costs in accuracy: the digits suite in bf16 against itself in float32.

The methods are trained on digits at 32/255 by the suite's recipe in both precisions and scored, in
float32, by AutoAttack. The figure is the difference of the robust accuracies, bf16 less float32,
over seeds and images together, with its 90 % interval: inside ±3 points counts as the same. Both
begin with the same weights and see the same batches, so that each seed is a pair. Where the
processor has no bf16 of its own it is emulated: slow, and the same numbers. Runs that are recorded
below ``--results`` are not repeated.

AVX512-BF16 CPU, three seeds, the float32 side being the recorded suite's: PGD-AT +1.0 points
[0.0, 2.0], TRADES −1.4 [−2.0, −0.7], MART +0.1 [−0.4, 0.6], RegMix −0.2 [−1.7, 1.3]. So TRADES does
lose a point: its attack starts where the divergence is flat, and rounding is felt most.

    python benchmarks/precision.py --results DIR [--seeds 0,1,2] [--methods pgd-at,trades]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from regmix_bench import run
from regmix_bench.analysis.methods import Flags, compare_treatments
from regmix_bench.grid.plan import plan
from regmix_bench.grid.suite_files import load_suite
from regmix_bench.records import paths
from regmix_bench.records.outcomes import read_outcomes

MARGIN = 0.03


def robust(method: str, precision: str, seeds: list[str], results: Path) -> Flags:
    """Which image (seeds, images) held, for one method in one precision."""
    flags = {"methods": [method], "eps": ["32/255"], "seeds": seeds}
    rows = []
    for spec in plan(load_suite("digits"), flags | {"recipe": {"precision": precision}}):
        record = run(spec, results=results)
        assert record.status == "success", record.error
        (score,) = (e for e in record.evaluations if e.autoattack_acc is not None)
        file = paths.outcomes_path(paths.record_path(results, spec), score.checkpoint)
        rows.append(read_outcomes(file, score)["autoattack_acc"].to_numpy())
        print(f"{method}, {precision}, seed {spec.seed}: {score.autoattack_acc:.1%}", flush=True)
    return np.array(rows)


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--results", type=Path, required=True)
    arguments.add_argument("--methods", default="pgd-at,trades,mart,regmix")
    arguments.add_argument("--seeds", default="0,1,2")
    options = arguments.parse_args()
    seeds = options.seeds.split(",")
    ends = []
    for method in options.methods.split(","):
        sides = [
            robust(method, precision, seeds, options.results) for precision in ("bf16", "fp32")
        ]
        difference = compare_treatments(*sides)
        (low,), (high,) = difference.intervals(0.10)
        ends += [abs(low), abs(high)]
        print(
            f"{method}: {100 * difference.values[0]:+.1f} points"
            f" [{100 * low:+.1f}, {100 * high:+.1f}]:"
            f" {'the same' if ends[-2] <= MARGIN >= ends[-1] else 'not shown to be the same'}",
            flush=True,
        )
    print(f"farthest end of an interval: {100 * max(ends):.1f} points of 3.0")


if __name__ == "__main__":
    main()
