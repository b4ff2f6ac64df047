"""``power``: what it takes to see a difference between two methods."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from regmix_bench.api.options import Across, Option, Results, listed, verb
from regmix_bench.errors import UserError
from regmix_bench.system.shown import Shown, ShownTuple, Summary

SEEDS = (3, 4, 6, 10, 20)
IMAGES = (1_000, 10_000)


@dataclass(frozen=True, repr=False)
class Power(Shown):
    """The chance that a table finds a difference of ``points``, among one set of comparable runs.

    Of a table like theirs, with so many ``comparisons`` with its reference, which has a false find
    in 5 % of cases at most. ``chances[images][seeds]`` are probabilities in [0, 1],
    ``needed[images]`` the seeds of each method that find it with 80 %, None where even
    ``most_seeds`` do not. ``recorded`` is the number
    of images that the runs were scored on. ``seed_deviation`` and ``image_deviation`` are standard
    deviations of a difference of accuracies in [0, 1]: from seed to seed, and by the choice of so
    many images.
    """

    stem: str
    points: float
    comparisons: int
    recorded: int
    seed_deviation: float
    image_deviation: float
    chances: Mapping[int, Mapping[int, float]]
    needed: Mapping[int, int | None]
    most_seeds: int

    def columns(self) -> tuple[str, ...]:
        """Return the headers of :meth:`table`."""
        return ("images", *(f"{seeds} seeds" for seeds in SEEDS), "seeds for 80%")

    def table(self) -> list[tuple[str, ...]]:
        """Return the chances in words, a row for each number of images."""
        return [
            (
                f"{images:,}",
                *(f"{chances[seeds]:.0%}" for seeds in SEEDS),
                str(self.needed[images] or f"over {self.most_seeds:,}"),
            )
            for images, chances in self.chances.items()
        ]

    def summary(self) -> Summary:
        some = f"{self.comparisons} {'comparisons' if self.comparisons > 1 else 'comparison'}"
        line = (
            f"{self.stem}: chance to find {self.points:g} point{'s' * (self.points != 1)} in a"
            f" table of {some} with at most 5% false finds"
        )
        return Summary(line, self.columns(), self.table())


@verb
def power(
    points: Annotated[float, Option("Difference of robust accuracy, in points.", argument=True)],
    *,
    results: Results = "results",
    across: Across = None,
) -> ShownTuple[Power]:
    """Say how many seeds of each method, and images, find a difference of so many points.

    The recorded methods tell how much accuracy varies from seed to seed and from image to image.
    Raises :class:`UserError` for a difference outside (0, 100], and where no two methods have two
    seeds with outcomes per image.
    """
    from regmix_bench.analysis import verdicts
    from regmix_bench.analysis.blocks import blocks_of
    from regmix_bench.analysis.cohorts import load_runs, sort_into_cohorts
    from regmix_bench.analysis.spread import MOST_SEEDS
    from regmix_bench.analysis.tricks import crossed

    if not 0 < points <= 100:
        raise UserError(f"difference {points:g} is not between 0 and 100 points: write it like 1.0")
    axes = crossed(listed("--across", across))
    cohorts = sort_into_cohorts(load_runs(Path(results)), axes)
    blocks = [block for cohort in cohorts for block in blocks_of(cohort)]
    found = []
    for block in blocks:
        if not (spread := verdicts.spread(block)):
            continue
        comparisons = len(block.rows) - 1
        recorded = block.rows[0].scores[0][1].n_examples
        sizes = sorted({recorded, *IMAGES})
        found.append(
            Power(
                stem=block.stem,
                points=points,
                comparisons=comparisons,
                recorded=recorded,
                seed_deviation=spread.seeds**0.5,
                image_deviation=(spread.images / recorded) ** 0.5,
                chances={
                    n: {k: spread.power(points / 100, n, k, comparisons) for k in SEEDS}
                    for n in sizes
                },
                needed={n: spread.seeds_needed(points / 100, n, comparisons) for n in sizes},
                most_seeds=MOST_SEEDS,
            )
        )
    if not found:
        raise UserError(f"no two methods below {results} have two seeds with outcomes per image")
    return ShownTuple(found)
