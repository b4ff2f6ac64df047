"""``show``: one record."""

from pathlib import Path
from typing import TYPE_CHECKING

from regmix_bench.api.options import Results, RunName, verb

if TYPE_CHECKING:
    from regmix_bench.records.schema import AnyRecord


@verb
def show(run: RunName, *, results: Results = "results") -> "AnyRecord":
    """Show one record: specification, numbers, cost and environment.

    Raises :class:`UserError` for an unknown run and for a record that cannot be read.
    """
    from regmix_bench.records.find import resolve_run
    from regmix_bench.records.store import load_record

    return load_record(resolve_run(str(run), Path(results)))
