"""Print what ``list`` and ``show`` find."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from regmix_bench.api.list import Facts, list_entries
from regmix_bench.api.show import show
from regmix_bench.cli.commands import add_command
from regmix_bench.cli.printing import percent, print_table, say

if TYPE_CHECKING:
    from regmix_bench.records.schema import AnyRecord


@add_command(list_entries, "regmix-bench list methods", name="list")
def print_entries(call: partial[list[Facts]]) -> None:
    """Print a table with a row for each entry."""
    entries = call()
    rows = [
        tuple(value if isinstance(value, str) else percent(value) for value in entry.values())
        for entry in entries
    ]
    print_table(tuple(entries[0]) if entries else (), rows)


@add_command(show, "regmix-bench show 3f2a")
def print_record(call: partial[AnyRecord]) -> None:
    """Print a record as YAML, without its history and what is at its default."""
    record = call()

    import yaml

    from regmix_bench.records.words import record_words

    content = record.model_dump(mode="json", exclude={"history"}, exclude_defaults=True)
    say(f"# {record_words(record)}: {record.status}")
    say(*yaml.safe_dump(content, sort_keys=False, allow_unicode=True).splitlines())
