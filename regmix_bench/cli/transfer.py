"""Print the matrix of ``transfer``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from regmix_bench.api.transfer import transfer
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import print_table, say

if TYPE_CHECKING:
    from regmix_bench.records.schema import TransferRecord


@add_command(transfer, "regmix-bench transfer 3f2a 81c0 --eps 8/255")
def print_matrix(call: partial[TransferRecord]) -> None:
    """Print the matrix, its notes and where it is recorded."""
    record = call()

    from regmix_bench.records.paths import transfer_path
    from regmix_bench.reporting.formats.cells import line
    from regmix_bench.reporting.tables.transfer import transfer_table

    table = transfer_table(record)
    say(table.caption)
    kinds = [column.kind for column in table.columns]
    rows = [tuple(map(line, row, kinds)) for row in table.rows]
    print_table(tuple(column.header for column in table.columns), rows)
    say(*table.notes)
    say(f"recorded as {transfer_path(Path(call.keywords['results']), record)}")
