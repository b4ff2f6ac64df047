"""Print which rules a study breaks."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

import typer

from regmix_bench.api.verify import verify
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import say, say_folded

if TYPE_CHECKING:
    from regmix_bench.sheets.verification import Verification, Violation


@add_command(verify, "regmix-bench verify examples/fastat.yaml --sarif verify.sarif")
def print_verification(call: partial[Verification]) -> None:
    """Print each broken rule, where and why it matters; exit 1 where one is not allowed."""
    from regmix_bench.sheets.rules import RULES

    found = call()
    for rule, violations in groupby(found.broken, lambda each: each.rule):
        say_folded(f"{rule.name}: {rule.title}")
        say_folded(f"  why it matters: {rule.why}")
        for (table, said), rows in _together(violations).items():
            whole = 1 < len(rows) == len(found.sheet.tables[table].rows)
            words = "every row" if whole else ", ".join(rows)
            say_folded(f"  {' · '.join([table, *filter(None, [words])])}: {said}")
    reasons: dict[tuple[str, str | None], Counter[str]] = defaultdict(Counter)
    for each in found.allowed:
        reasons[each.rule.name, each.allowed][each.table] += 1
    for (name, reason), tables in reasons.items():
        times = tables.total()
        where = f"{', '.join(tables)} ({times} time{'s' * (times > 1)})"
        say_folded(f"allowed: {name} in {where}: {reason}")
    for name in found.needless:
        say(f"allow names {name}, which nothing breaks")
    broken = len({violation.rule.name for violation in found.broken})
    allowed = len({violation.rule.name for violation in found.allowed})
    say(f"{len(RULES)} rules: {broken} broken, {allowed} broken with a reason")
    if found.failed:
        raise typer.Exit(1)


def _together(violations: Iterable[Violation]) -> dict[tuple[str, str], list[str]]:
    """The rows of each table of which the same is said."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for violation in violations:
        rows = found[violation.table, violation.said]
        rows += [] if violation.row is None else [violation.row]
    return found
