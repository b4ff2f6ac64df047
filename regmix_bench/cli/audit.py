"""Print what ``audit`` finds."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import typer

from regmix_bench.api.audit import audit
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import say

if TYPE_CHECKING:
    from regmix_bench.evaluation.findings import Audit


@add_command(audit, "regmix-bench audit 3f2a --device cpu")
def print_audit(call: partial[Audit]) -> None:
    """Print each finding, how many images pass, and what has no evidence; exit 1 on a finding."""
    found = call()
    for finding in found.findings:
        say(finding)
    bare = f", {found.n_unproven} without evidence" if found.n_unproven else ""
    say(f"audited: {found.n_passed} of {found.n_images}{bare}")
    if found.findings:
        raise typer.Exit(1)
