"""``transfer``: how robust runs are to images crafted on one another."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from regmix_bench.api.options import SCORING, DataDir, DeviceName, Option, Results, RunNames, verb

if TYPE_CHECKING:
    from regmix_bench.records.schema import TransferRecord


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
) -> "TransferRecord":
    """Attack each of some runs with images crafted on each, and record the matrix.

    A matrix that is recorded is returned as it is. Raises :class:`UserError`, with nothing written,
    for runs that are unknown, named twice or cannot be compared, and for weights, data or recorded
    outcomes that are not here or not the recorded ones.
    """
    from regmix_bench.evaluation.transfer import transfer_matrix

    return transfer_matrix(
        [str(run) for run in runs], Path(results), epsilon=eps, data_dir=data_dir, device=device
    )
