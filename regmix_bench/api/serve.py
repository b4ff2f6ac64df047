"""``serve``: the report in a browser, following the records."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn

from regmix_bench.api.options import (
    Across,
    Option,
    Reference,
    Results,
    SuiteMethodFiles,
    Suites,
    TargetAccuracy,
    WithPublished,
    report_choices,
    verb,
)


@verb
def serve(
    *,
    results: Results = "results",
    port: Annotated[int, Option("Port on 127.0.0.1; 0 takes a free one.")] = 8000,
    with_published: WithPublished = False,
    reference: Reference = None,
    across: Across = None,
    suite: Suites = None,
    method_files: SuiteMethodFiles = None,
    target_accuracy: TargetAccuracy = None,
    say: Callable[[str], None] = lambda line: None,
) -> NoReturn:
    """Show the report in a browser of this machine, made anew when a record arrives.

    Goes on until it is interrupted; ``say`` gets the address, and a line for each change. Raises
    :class:`UserError` for a folder or a record that cannot be read at the start, an unknown
    reference, axis or suite, a target that is no accuracy, or a port that cannot be had.
    """
    from regmix_bench.reporting.site.server import serve_site

    choices = report_choices(
        with_published, reference, across, suite, target_accuracy, method_files
    )
    serve_site(Path(results), port, say, **choices)
