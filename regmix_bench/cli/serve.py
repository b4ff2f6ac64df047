"""``serve``: the report in a browser, following the records."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regmix_bench.cli.common import Results, app


@app.command(epilog="Example: regmix-bench serve --port 8000")
def serve(
    results: Results = Path("results"),
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8000,
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
) -> None:
    """Show the report in a browser of this machine, made anew when a record arrives."""
    from regmix_bench.api.serve import serve as serve_until_interrupted

    try:
        serve_until_interrupted(results, port, with_published, reference)
    except KeyboardInterrupt:
        print()
