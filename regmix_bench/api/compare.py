"""``compare``: whether one model is better than another on the same images."""

from typing import TYPE_CHECKING, Annotated

from regmix_bench.api.options import Across, Option, Results, RunName, listed, verb
from regmix_bench.errors import UserError
from regmix_bench.types import TrainedCheckpoint

if TYPE_CHECKING:
    from regmix_bench.analysis.comparisons import Pair
    from regmix_bench.analysis.corrupted import CorruptedPair
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
) -> "ShownTuple[Pair] | ShownTuple[CorruptedPair]":
    """Compare two models on the same images. For two methods, over seeds, see report.

    One pair for each threat that both were attacked under, with its McNemar test; of two records of
    common corruptions one pair, with Student's test over images. Raises
    :class:`UserError` for an unknown run, and for two that were attacked in different ways, with
    other seeds, under different threats or on other images, or trained with other tricks.
    """
    from pathlib import Path

    from regmix_bench.analysis.comparisons import compare_records
    from regmix_bench.analysis.corrupted import compare_corrupted
    from regmix_bench.analysis.tricks import crossed
    from regmix_bench.records.find import resolve_run
    from regmix_bench.records.schema import CorruptionRecord
    from regmix_bench.records.store import load_record
    from regmix_bench.system.shown import ShownTuple

    folder = Path(results)
    paths = [resolve_run(str(run), folder) for run in (first, second)]
    records = [load_record(path) for path in paths]
    corrupted = [record for record in records if isinstance(record, CorruptionRecord)]
    if len(corrupted) == len(records):
        if eps is not None:
            raise UserError("--eps is of attacks, and these are records of corrupted images")
        return ShownTuple([compare_corrupted(paths, corrupted)])
    return compare_records(paths, checkpoint, eps, crossed(listed("--across", across)), folder)
