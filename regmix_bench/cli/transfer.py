"""``transfer``: how robust runs are to images crafted on one another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from regmix_bench.cli.common import DataDir, Device, Results, app, choice, print_table


@app.command(epilog="Example: regmix-bench transfer 3f2a 81c0 --eps 8/255")
def transfer(
    runs: Annotated[
        list[str], typer.Argument(help="Records' paths, run_ids or the starts of some.")
    ],
    eps: Annotated[
        str | None, typer.Option(help="Budget, such as 8/255; the first run's own by default.")
    ] = None,
    results: Results = Path("results"),
    data_dir: DataDir = None,
    device: Device = "auto",
) -> None:
    """Attack each of some runs with images crafted on each, and record the matrix."""
    choice("device", device, ("auto", "cpu", "cuda"))

    from regmix_bench.evaluation.transfer import transfer as attack
    from regmix_bench.records.paths import transfer_path
    from regmix_bench.reporting.formats.cells import line
    from regmix_bench.reporting.tables.transfer import transfer_table
    from regmix_bench.system import machine

    record = attack(
        runs, results, epsilon=eps, data_dir=data_dir, device=cast(machine.Device, device)
    )
    table = transfer_table(record)
    print(table.caption)
    kinds = [column.kind for column in table.columns]
    rows = [tuple(map(line, row, kinds)) for row in table.rows]
    print_table(tuple(column.header for column in table.columns), rows)
    print(*table.notes, sep="\n")
    print(f"recorded as {transfer_path(results, record)}")
