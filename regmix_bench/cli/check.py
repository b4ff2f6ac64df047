"""Print the verdicts of ``check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import typer

from regmix_bench.api.check import Check, check
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import print_table, say

if TYPE_CHECKING:
    from regmix_bench.analysis.regression import Verdict


@add_command(check, "regmix-bench check --results fresh --only 'digits/smallcnn/pgd-at-*'")
def print_check(call: partial[Check]) -> None:
    """Print a table of verdicts; exit 1 where one fails."""
    found = call()
    if found.verdicts or found.renewed is None:
        _print_verdicts(found.verdicts)
    if found.renewed is not None:
        say(f"{found.renewed} references written to {found.reference}")
    if found.failed:
        raise typer.Exit(1)


def _print_verdicts(verdicts: Sequence[Verdict]) -> None:
    rows = [
        (
            f"{v.label} · {v.dataset} · {v.arch} · {v.threat} · "
            f"{'all seeds' if v.seed is None else f'seed {v.seed}'} · {v.checkpoint} {v.metric}",
            _points(v.reference),
            _points(v.now),
            _points(v.difference, sign=True),
            _points(v.tolerance),
            v.verdict + (f": {v.note}" if v.note else ""),
        )
        for v in verdicts
    ]
    print_table(("metric", "reference", "now", "difference", "tolerance", "verdict"), rows)
    counts = Counter(v.verdict for v in verdicts)
    say(", ".join(f"{count} {verdict}" for verdict, count in counts.items()) or "no references")
    resolved = [v.tolerance for v in verdicts if v.tolerance is not None]
    if resolved:
        say(f"smallest drop that these images resolve: {100 * min(resolved):.1f} points")


def _points(value: float | None, sign: bool = False) -> str:
    return "" if value is None else f"{100 * value:{'+' if sign else ''}.1f}"
