"""``report``: tables and figures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from regmix_bench.cli.common import Results, app, split


@app.command(epilog="Example: regmix-bench report --format latex,figures --out reports")
def report(
    results: Results = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("reports"),
    formats: Annotated[
        str | None,
        typer.Option("--format", help="Of latex, markdown, csv, figures; all by default."),
    ] = None,
    with_published: Annotated[
        bool,
        typer.Option(
            "--with-published", help="Put the numbers of published.yaml beside ours, marked."
        ),
    ] = False,
    reference: Annotated[
        str | None,
        typer.Option(help="Row that the others are compared with; its suite's own if left out."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 where the report is stale.")
    ] = False,
) -> None:
    """Write tables and figures of everything that is recorded."""
    from regmix_bench import reporting

    chosen = tuple(split("format", formats) or reporting.FORMATS)
    if not check:
        written = reporting.write_report(
            results, out, chosen, with_published=with_published, reference=reference
        )
        print(f"{len(written)} files in {out}")
        return
    stale = reporting.stale(results, out, with_published=with_published, reference=reference)
    for line in stale:
        print(line)
    if stale:
        flags = " --with-published" if with_published else ""
        flags += f" --reference {shlex.quote(reference)}" if reference else ""
        print(
            f"{out} is stale: regmix-bench report --results {results} --out {out}{flags} renews it"
        )
        raise typer.Exit(1)
    print(f"{out} matches {results}")
