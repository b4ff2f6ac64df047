"""Print what ``audit`` finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from regmix_bench.api.audit import audit
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.flags import AS_JSON, QUIETLY, print_json
from regmix_bench.cli.printing import say, say_folded

if TYPE_CHECKING:
    from regmix_bench.evaluation.findings import Audit


@add_command(audit, "regmix-bench audit eef7 --device cpu", flags={**AS_JSON, **QUIETLY})
def print_audit(call: Call[Audit]) -> None:
    """Print each finding, how many images pass, and what has no evidence; exit 1 on a finding."""
    from regmix_bench.cli.display import Display

    with Display(call.flags) as display:
        found = call(observer=display)
    if call.flags.json:
        print_json("audit", found)
    else:
        for finding in found.findings:
            say_folded(finding)
        bare = f", {found.n_unproven} without evidence" if found.n_unproven else ""
        say(f"audited: {found.n_passed} of {found.n_images}{bare}")
    if found.findings:
        raise typer.Exit(1)
