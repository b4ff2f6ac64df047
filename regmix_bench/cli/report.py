"""Print what ``report`` has written, or what is stale."""

from __future__ import annotations

import sys
from functools import partial

import typer

from regmix_bench.api.report import Report, report
from regmix_bench.cli.commands import add_command, command_line
from regmix_bench.cli.printing import say


@add_command(report, "regmix-bench report --format latex,figures --out reports")
def print_report(call: partial[Report]) -> None:
    """Print how many files there are; exit 1 where ``--check`` finds the report stale."""
    # In a pipe, as of other verbs, nothing but the result is said.
    found = call(say=partial(say, error=True)) if sys.stderr.isatty() else call()
    if not call.keywords["check"]:
        say(f"{len(found.written)} files in {found.out}")
        for page in (found.out / "site" / "index.html", found.out / "report.md"):
            if page in found.written:
                say(f"open {page}")
        return
    for line in found.stale:
        say(line)
    if found.stale:
        # The report must be renewed as it was checked.
        again = command_line(report, {**call.keywords, "check": False}, always=("results", "out"))
        say(f"{found.out} is stale: {again} renews it")
        raise typer.Exit(1)
    say(f"{found.out} matches {call.keywords['results']}")
