"""``compare``: whether one model is better than another on the same images."""

from typing import TYPE_CHECKING, Annotated

from regmix_bench.api.options import Across, Option, Results, RunName, listed, verb
from regmix_bench.types import TrainedCheckpoint

if TYPE_CHECKING:
    from regmix_bench.analysis.comparisons import Pair
    from regmix_bench.system.shown import ShownTuple


@verb
def compare(
    first: RunName,
    second: RunName,
    *,
    checkpoint: Annotated[
        TrainedCheckpoint | None, Option("Of both trainings; selected if left out.")
    ] = None,
    eps: Annotated[
        str | None, Option("Of the attack, such as 8/255; all in common if left out.")
    ] = None,
    across: Across = None,
    results: Results = "results",
) -> "ShownTuple[Pair]":
    """Compare two models on the same images. For two methods, over seeds, see report.

    One pair for each threat that both were attacked under, with its McNemar test. Raises
    :class:`UserError` for an unknown run, and for two that were attacked in different ways, with
    other seeds, under different threats or on other images, or trained with other tricks.
    """
    from pathlib import Path

    from regmix_bench.analysis.comparisons import compare_records
    from regmix_bench.analysis.tricks import crossed
    from regmix_bench.records.find import resolve_run

    folder = Path(results)
    paths = [resolve_run(str(run), folder) for run in (first, second)]
    return compare_records(paths, checkpoint, eps, crossed(listed("--across", across)), folder)
