"""``transfer``: how robust runs are to images crafted on one another."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from regmix_bench.api.options import SCORING, DataDir, DeviceName, Option, Results, RunNames, verb

if TYPE_CHECKING:
    from regmix_bench.records.schema import TransferRecord
    from regmix_bench.runs.observers import Observer
    from regmix_bench.specs import RunSpec


@verb
def transfer(
    runs: RunNames,
    *,
    eps: Annotated[
        str | None, Option("Budget, such as 8/255; the first run's own if left out.", SCORING)
    ] = None,
    results: Results = "results",
    data_dir: DataDir = None,
    device: DeviceName = "auto",
    observer: "Observer | None" = None,
) -> "TransferRecord":
    """Attack each of some runs with images crafted on each, and record the matrix.

    A matrix that is recorded is returned as it is. Raises :class:`UserError`, with nothing written,
    for runs that are unknown, named twice, of the same weights or cannot be compared, and for
    weights, data or recorded outcomes that are not here or not the recorded ones.
    """
    from regmix_bench.evaluation.transfer import transfer_matrix
    from regmix_bench.records.progress import ProgressMeter
    from regmix_bench.runs.observers import Ending, listener

    heard, names = listener(observer), [str(run) for run in runs]
    begun: list[RunSpec] = []

    def begin(spec: "RunSpec") -> ProgressMeter:
        """Follow the images that are crafted on a run, once those on the one before are done."""
        if begun:
            heard.on_end(Ending(begun[-1]))
        else:
            heard.on_plan({}, len(names))
        begun.append(spec)
        heard.on_start(spec)
        return ProgressMeter(partial(heard.on_progress, spec))

    record = transfer_matrix(
        names, Path(results), epsilon=eps, data_dir=data_dir, device=device, begin=begin
    )
    if begun:
        heard.on_end(Ending(begun[-1]))
    return record
