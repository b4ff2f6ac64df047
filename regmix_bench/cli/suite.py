"""Print what a suite stands for."""

from __future__ import annotations

import shlex

from regmix_bench.api.suite import CheckedSuite, suite
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.printing import say


@add_command(suite, "regmix-bench suite init mine.yaml")
def print_suite(call: Call[CheckedSuite]) -> None:
    """Print the runs of the suite by method, and the command that plans them."""
    found = call()
    say(found.summary().line, f"next: regmix-bench run {shlex.quote(found.name)} --dry-run")
