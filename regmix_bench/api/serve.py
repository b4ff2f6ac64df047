"""``serve``: the report in a browser, following the records."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

from regmix_bench.api.options import Across, Option, Reference, Results, WithPublished, listed, verb


@verb
def serve(
    *,
    results: Results = "results",
    port: Annotated[int, Option("Port on 127.0.0.1; 0 takes a free one.")] = 8000,
    with_published: WithPublished = False,
    reference: Reference = None,
    across: Across = None,
    say: Callable[[str], None] = lambda line: None,
) -> NoReturn:
    """Show the report in a browser of this machine, made anew when a record arrives.

    Goes on until it is interrupted; ``say`` gets the address, and a line for each change. Raises
    :class:`UserError` for a folder or a record that cannot be read at the start, an unknown
    reference or axis, or a port that cannot be had.
    """
    from regmix_bench.analysis.tricks import crossed
    from regmix_bench.reporting.site.server import serve_site

    axes = crossed(listed("--across", across))
    serve_site(Path(results), port, with_published, reference, axes, say)
