"""Print whether a plug-in keeps its contract."""

from __future__ import annotations

from functools import partial

import typer

from regmix_bench.api.test import ContractReport, check_contract
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import say, say_folded


@add_command(check_contract, "regmix-bench test trades", name="test")
def print_contract(call: partial[ContractReport]) -> None:
    """Print a line for each rule; exit 1 where one is broken."""
    report = call()
    say(f"{report.kind} {report.name} of {report.origin}")
    for rule, reason in report.rules.items():
        said = reason or report.notes.get(rule)
        say_folded(f"  {'FAIL' if reason else 'ok  '}  {rule}{f': {said}' if said else ''}")
    say(f"{report.kept} of {len(report.rules)} rules are kept")
    if report.kept < len(report.rules):
        raise typer.Exit(1)
