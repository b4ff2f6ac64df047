"""Compare the numbers of two reports cell by cell: every CSV of their tables and figures.

    python tests/support/compare_reports.py OLD NEW

Columns are matched by what they mean (:data:`RENAMED`) and rows in any order. Cells of a column of
numbers are compared exactly, as numbers (``0.50`` is ``0.5``), others as text. What NEW has lost or
changed is printed, and the exit status is 1; files and columns that it has gained are listed and
allowed. Files of a report that hold no numbers of a table, such as its manifest, are passed over.
"""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

#: Columns that are called something else since: the name in OLD, and that in NEW.
RENAMED: dict[str, str] = {}

PASSED_OVER = {"manifest.csv"}
#: How many changed rows of a file are shown.
SHOWN = 20

Value = Decimal | str | None


@dataclass(frozen=True)
class Sheet:
    """The content of a CSV file; every row has a cell for each of ``columns``."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def read(cls, path: Path) -> Sheet:
        """Read a file; raises ``ValueError`` where its columns are not told apart or rows differ.

        An empty file has neither columns nor rows.
        """
        with path.open(encoding="utf-8", newline="") as stream:
            lines = [tuple(line) for line in csv.reader(stream)]
        columns, rows = (lines[0], tuple(lines[1:])) if lines else ((), ())
        if len(set(columns)) < len(columns) or {len(row) for row in rows} - {len(columns)}:
            raise ValueError(f"{path}: two columns of one name, or a row of another length")
        return cls(columns, rows)

    def column(self, name: str) -> tuple[str, ...]:
        place = self.columns.index(name)
        return tuple(row[place] for row in self.rows)


@dataclass
class Comparison:
    """What a report has lost or changed, and what it has gained, one line each."""

    differences: list[str]
    gains: list[str]


def compare(old: Path, new: Path, renamed: Mapping[str, str] = RENAMED) -> Comparison:
    """Compare the folders of two reports; ``renamed`` maps names of columns in ``old``."""
    found = Comparison([], [])
    before, after = _names(old), _names(new)
    if not before:
        found.differences.append(f"{old}: no CSV files of a report")
    found.differences += [f"{name}: missing" for name in sorted(before - after)]
    found.gains += [f"{name}: new" for name in sorted(after - before)]
    for name in sorted(before & after):
        one, two = Sheet.read(old / name), Sheet.read(new / name)
        names = {column: renamed.get(column, column) for column in one.columns}
        lost = [column for column in one.columns if names[column] not in two.columns]
        gained = [column for column in two.columns if column not in names.values()]
        found.differences += [f"{name}: column {column} is gone" for column in lost]
        found.gains += [f"{name}: new column {column}" for column in gained]
        shared = {column: names[column] for column in one.columns if column not in lost}
        found.differences += [f"{name}: {line}" for line in _changes(one, two, shared)]
    return found


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.csv")} - PASSED_OVER


def _changes(one: Sheet, two: Sheet, shared: Mapping[str, str]) -> Iterator[str]:
    """What the rows of ``two`` say differently in the columns that both have."""
    pairs = [_values(one.column(o), two.column(n)) for o, n in shared.items()]
    before = Counter(zip(*(pair[0] for pair in pairs), strict=True))
    after = Counter(zip(*(pair[1] for pair in pairs), strict=True))
    lost, gained = list((before - after).elements()), list((after - before).elements())
    for row in lost[:SHOWN]:
        if not gained:
            yield f"row is gone: {_words(row)}"
            continue
        nearest = max(
            gained, key=lambda other: sum(a == b for a, b in zip(row, other, strict=True))
        )
        gained.remove(nearest)
        changed = (
            f"{column} {_words([a])} is now {_words([b])}"
            for column, a, b in zip(shared.values(), row, nearest, strict=True)
            if a != b
        )
        yield f"{', '.join(changed)} in the row: {_words(row)}"
    if len(lost) > SHOWN:
        yield f"and {len(lost) - SHOWN} more rows changed or gone"
    elif gained:
        yield from (f"row is new: {_words(row)}" for row in gained[:SHOWN])


def _values(one: Sequence[str], two: Sequence[str]) -> tuple[list[Value], list[Value]]:
    """The cells of one column in both files: numbers where all are, else text; None if empty."""
    filled = [text for text in (*one, *two) if text]
    numeric = all(_number(text) is not None for text in filled)

    def read(side: Sequence[str]) -> list[Value]:
        return [None if not text else _number(text) if numeric else text for text in side]

    return read(one), read(two)


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _words(row: Sequence[Value]) -> str:
    return ",".join("" if value is None else str(value) for value in row)


def main(arguments: Sequence[str]) -> int:
    """Run the script; returns the exit status."""
    if len(arguments) != 2 or not all(Path(folder).is_dir() for folder in arguments):
        print("usage: compare_reports.py OLD NEW, two folders of `regmix-bench report`")
        return 2
    old, new = map(Path, arguments)
    found = compare(old, new)
    for line in (*found.gains, *found.differences):
        print(line)
    print(
        f"{len(found.differences)} differences" if found.differences else "the same in every cell"
    )
    return 1 if found.differences else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
