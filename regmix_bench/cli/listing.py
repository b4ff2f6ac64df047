"""Print what ``list`` finds."""

from __future__ import annotations

import re

from regmix_bench.api.list import Facts, list_entries
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.flags import AS_JSON, print_json
from regmix_bench.cli.printing import percent, print_table


@add_command(list_entries, "regmix-bench list methods", name="list", flags=AS_JSON)
def print_entries(call: Call[list[Facts]]) -> None:
    """Print a table with a row for each entry."""
    entries = call()
    if call.flags.json:
        print_json("list", [{_key(name): value for name, value in e.items()} for e in entries])
        return
    rows = [
        tuple(value if isinstance(value, str) else percent(value) for value in entry.values())
        for entry in entries
    ]
    print_table(tuple(entries[0]) if entries else (), rows)


def _key(header: str) -> str:
    """Return the name of a column as programs write names: ``pgd_20`` of ``PGD-20``."""
    return re.sub(r"\W+", "_", header.lower())
