"""``report``: tables and figures."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from regmix_bench.cli.common import Results, app, split
from regmix_bench.errors import UserError


@app.command(epilog="Example: regmix-bench report --format latex,figures --out reports")
def report(
    results: Results = Path("results"),
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("reports"),
    formats: Annotated[
        str | None,
        typer.Option("--format", help="Of latex, markdown, csv, json, figures, html; else all."),
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
    standalone: Annotated[
        bool, typer.Option("--standalone", help="LaTeX tables as documents, cropped to the table.")
    ] = False,
    columns: Annotated[
        int, typer.Option(help="Columns of the paper: 1, or 2 for tables over both.")
    ] = 1,
    caption: Annotated[
        str, typer.Option(help="Caption of each LaTeX table, as text; {} stands for its own.")
    ] = "{}",
    label: Annotated[str, typer.Option(help="What the label of each LaTeX table starts with.")] = (
        "tab:"
    ),
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 where the report is stale.")
    ] = False,
) -> None:
    """Write tables, figures and pages of everything that is recorded."""
    from regmix_bench import reporting
    from regmix_bench.reporting.formats.latex import Layout

    if check and formats is not None:
        raise UserError("--check compares whatever formats the report has: leave --format out")
    layout = Layout(standalone, columns, caption, label)
    chosen = tuple(split("format", formats) or reporting.FORMATS)
    if not check:
        written = reporting.write_report(
            results, out, chosen, with_published=with_published, reference=reference, layout=layout
        )
        print(f"{len(written)} files in {out}")
        return
    stale = reporting.stale(
        results, out, with_published=with_published, reference=reference, layout=layout
    )
    for line in stale:
        print(line)
    if stale:
        # The report must be renewed as it was checked.
        given = [
            "--with-published" if with_published else "",
            f"--reference {shlex.quote(reference)}" if reference else "",
            "--standalone" if standalone else "",
            f"--columns {columns}" if columns != 1 else "",
            f"--caption {shlex.quote(caption)}" if caption != "{}" else "",
            f"--label {shlex.quote(label)}" if label != "tab:" else "",
        ]
        flags = "".join(f" {flag}" for flag in given if flag)
        print(
            f"{out} is stale: regmix-bench report --results {shlex.quote(str(results))}"
            f" --out {shlex.quote(str(out))}{flags} renews it"
        )
        raise typer.Exit(1)
    print(f"{out} matches {results}")
