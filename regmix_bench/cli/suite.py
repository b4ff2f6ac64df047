"""Print what a suite stands for."""

from __future__ import annotations

import shlex

from regmix_bench.api.run import run
from regmix_bench.api.suite import CheckedSuite, suite
from regmix_bench.cli.commands import Call, add_command, next_line
from regmix_bench.cli.printing import say


@add_command(suite, "regmix-bench suite init mine.yaml")
def print_suite(call: Call[CheckedSuite]) -> None:
    """Print the runs of the suite by method, and the command that plans them."""
    found = call()
    typed = f"{shlex.quote(found.name)} --dry-run"
    say(found.summary().line, next_line(run, typed, call.keywords))
