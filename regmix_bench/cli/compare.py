"""``compare`` and ``power``: whether a difference is more than chance, and what it takes to see."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from regmix_bench.cli.common import Results, Run, app, print_table
from regmix_bench.errors import UserError

SEEDS = (2, 3, 5, 10, 20)
IMAGES = (1_000, 10_000)


@app.command(epilog="Example: regmix-bench compare 3f2a 81c0")
def compare(
    first: Run,
    second: Run,
    checkpoint: Annotated[
        str | None, typer.Option(help="Of both trainings: selected or last.")
    ] = None,
    eps: Annotated[
        str | None, typer.Option(help="Of the attack, such as 8/255; all in common by default.")
    ] = None,
    results: Results = Path("results"),
) -> None:
    """Compare two models on the same images. For two methods, over seeds, see report."""
    from regmix_bench.analysis import comparisons as pairs
    from regmix_bench.analysis.methods import LEVEL
    from regmix_bench.analysis.statistics import wilson_interval
    from regmix_bench.records.find import resolve_run

    paths = [resolve_run(run, results) for run in (first, second)]
    for pair in pairs.compare(paths, checkpoint, eps):
        print(f"{pair.attack} at {pair.threat}, {pair.n_examples} images")
        for name, right in zip(pair.names, pair.right, strict=True):
            low, high = wilson_interval(right, pair.n_examples)
            print(f"  {name}: {right / pair.n_examples:.1%} [{low:.1%}, {high:.1%}]")
        print(f"  the second loses {pair.lost} images and gains {pair.gained}")
        word = "not distinguishable from"
        if pair.p_value < LEVEL:
            word = "better than" if pair.gained > pair.lost else "worse than"
        one, two = pair.names
        print(f"  {two} is {word} {one} (McNemar's exact test, p = {pair.p_value:.2g})")


@app.command(epilog="Example: regmix-bench power 1.0 --results results")
def power(
    points: Annotated[float, typer.Argument(help="Difference of robust accuracy, in points.")],
    results: Results = Path("results"),
) -> None:
    """Say how many seeds of each method, and images, find a difference of so many points.

    The recorded methods tell how much accuracy varies from seed to seed and from image to image.
    """
    from regmix_bench.analysis import verdicts
    from regmix_bench.analysis.blocks import blocks_of
    from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
    from regmix_bench.analysis.methods import MOST_SEEDS

    if not 0 < points <= 100:
        raise UserError(f"difference {points:g} is not between 0 and 100 points: write it like 1.0")
    cohorts = sort_into_cohorts(load_runs(results))
    blocks = [block for cohort in cohorts for block in blocks_of(cohort)]
    spreads = [(block, found) for block in blocks if (found := verdicts.spread(block))]
    if not spreads:
        raise UserError(f"no two methods below {results} have two seeds with outcomes per image")
    for block, spread in spreads:
        recorded = block.rows[0].scores[0][1].n_examples
        seeds, images = (100 * math.sqrt(part) for part in (spread.seeds, spread.images / recorded))
        print(
            f"{block.stem}: chance to find {points:g} points at 5% (standard deviation from seed to"
            f" seed {seeds:.1f} points, of a difference by the choice of {recorded} images"
            f" {images:.1f})"
        )
        rows = []
        for n in sorted({recorded, *IMAGES}):
            chances = (f"{spread.power(points / 100, n, k):.0%}" for k in SEEDS)
            needed = spread.seeds_needed(points / 100, n) or f"over {MOST_SEEDS:,}"
            rows.append((f"{n:,}", *chances, str(needed)))
        print_table(("images", *(f"{k} seeds" for k in SEEDS), "seeds for 80%"), rows)
