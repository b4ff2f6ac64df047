"""Print what ``list`` finds."""

from __future__ import annotations

import re
from typing import cast

from regmix_bench.api.list import Facts, list_entries
from regmix_bench.cli.commands import Call, add_command
from regmix_bench.cli.flags import AS_JSON, print_json
from regmix_bench.cli.printing import percent, print_table, say


@add_command(list_entries, "regmix-bench list methods", name="list", flags=AS_JSON)
def print_entries(call: Call[list[Facts]]) -> None:
    """Print a table with a row for each entry."""
    entries = call()
    if call.flags.json:
        print_json("list", [{_key(name): value for name, value in e.items()} for e in entries])
        return
    if call.keywords["names"] and call.keywords["what"] != "runs":
        for entry in entries:
            _print_entry(entry)
        return
    rows = [tuple(map(_cell, entry.values())) for entry in entries]
    print_table(tuple(entries[0]) if entries else (), rows)


def _print_entry(entry: Facts) -> None:
    """Print what is known of an entry, a line for each fact, and a table of its parameters."""
    parameters = entry.get("parameters")
    lines = [(key, _cell(value)) for key, value in entry.items() if key != "parameters"]
    named, *facts = [line for line in lines if line[1]]
    print_table(named, facts)
    if isinstance(parameters, list) and parameters:
        say("")
        rows = [tuple(each.values()) for each in parameters]
        print_table(("parameter", "default", "allowed", "meaning"), rows)
    say("")


def _cell(value: object) -> str:
    return value if isinstance(value, str) else percent(cast("float | None", value))


def _key(header: str) -> str:
    """Return the name of a column as programs write names: ``pgd_20`` of ``PGD-20``."""
    return re.sub(r"\W+", "_", header.lower())
