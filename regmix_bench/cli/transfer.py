"""Print the matrix of ``transfer``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from regmix_bench.api.transfer import transfer
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.flags import QUIETLY
from regmix_bench.cli.printing import print_table, say_folded

if TYPE_CHECKING:
    from regmix_bench.records.schema import TransferRecord


@add_command(transfer, "regmix-bench transfer eef7 9fe8 --eps 32/255", flags=QUIETLY)
def print_matrix(call: Call[TransferRecord]) -> None:
    """Print how it goes on, then the matrix, its notes and where it is recorded."""
    from regmix_bench.cli.display import Display

    with Display(call.flags) as display:
        record = call(observer=display)

    from regmix_bench.records.paths import transfer_path
    from regmix_bench.reporting.formats.cells import line
    from regmix_bench.reporting.tables.transfer import transfer_table

    table = transfer_table(record)
    say_folded(table.caption)
    kinds = [column.kind for column in table.columns]
    rows = [tuple(map(line, row, kinds)) for row in table.rows]
    print_table(tuple(column.header for column in table.columns), rows)
    for note in table.notes:
        say_folded(note)
    say_folded(f"recorded as {transfer_path(Path(call.keywords['results']), record)}")
