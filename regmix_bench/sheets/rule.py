"""A rule that a study is held to, and the forms that several rules share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from regmix_bench.sheets.sheet import SheetRow, SheetTable


@dataclass(frozen=True)
class Breach:
    """A place where a rule is broken: the row, None for the whole table, and what is seen there."""

    row: str | None
    said: str


@dataclass(frozen=True)
class Rule:
    """A rule by name.

    ``title`` says in a few words what is broken where it is, ``why`` why that matters, with the
    size of the effect and its source where one was measured. ``reads`` are the facts that it looks
    at, as keys of a row (``recipe.epochs``) or of a table (``table.ranked_by``). ``breaches``
    yields what breaks it in a table.
    """

    name: str
    title: str
    why: str
    reads: tuple[str, ...]
    breaches: Callable[[SheetTable], Iterator[Breach]]


def fact(row: SheetRow, path: str) -> object:
    """Return the fact of a row at a path such as ``recipe.epochs``; None where it is not said."""
    found: object = row
    for key in path.split("."):
        found = getattr(found, key)
    return found


def in_words(value: object) -> str:
    """Write a fact as a reader would: 0.1, yes, none, Linf 8/255."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return "not said" if value is None else str(value)


def each_row(
    name: str,
    title: str,
    why: str,
    reads: tuple[str, ...],
    seen: Callable[[SheetRow], str | None],
) -> Rule:
    """Make a rule that asks each row by itself: ``seen`` says what breaks it, or None."""

    def breaches(table: SheetTable) -> Iterator[Breach]:
        for row in table.rows:
            if (said := seen(row)) is not None:
                yield Breach(row.method, said)

    return Rule(name, title, why, reads, breaches)


def shared_by_rows(name: str, title: str, why: str, *reads: str) -> Rule:
    """Make a rule by which the rows of a table share facts.

    What most rows have counts as theirs, of two equally frequent values the one that stands first;
    rows that do not say a fact are not asked.
    """

    def breaches(table: SheetTable) -> Iterator[Breach]:
        usual = {path: most for path in reads if (most := _most(table, path)) is not None}
        for row in table.rows:
            differing = [
                f"{path} {in_words(mine)}, where {how_many} have {in_words(value)}"
                for path, (value, how_many) in usual.items()
                if (mine := fact(row, path)) is not None and mine != value
            ]
            if differing:
                yield Breach(row.method, "; ".join(differing))

    return Rule(name, title, why, reads, breaches)


def _most(table: SheetTable, path: str) -> tuple[object, str] | None:
    """The value that most rows have, and how many they are in words; None where none says it."""
    given = Counter(value for row in table.rows if (value := fact(row, path)) is not None)
    if not given:
        return None
    value, count = given.most_common(1)[0]
    return value, f"{count} of {given.total()} rows"
