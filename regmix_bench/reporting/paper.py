"""The tables of a report as papers show them: chosen columns and rows, names, short notes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from regmix_bench.analysis.words import threat_words
from regmix_bench.errors import UserError, unknown
from regmix_bench.records.accuracies import ACCURACIES
from regmix_bench.reporting.calling import labels_called
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.formats.layout import ALL, Layout
from regmix_bench.reporting.tables.comparison import DIFFERENCE, INTERVAL, SEEDS
from regmix_bench.reporting.tables.footnotes import MEANINGS
from regmix_bench.reporting.tables.labels import LABELS
from regmix_bench.reporting.tables.tricks import TRICKS
from regmix_bench.reporting.values import Cell, Column, Table

_ACCURACIES = [accuracy.id for accuracy in ACCURACIES]
#: Columns of a comparison, beside the methods, where none are chosen.
USUAL = (*_ACCURACIES, DIFFERENCE, TRICKS, LABELS, "passes", SEEDS)
#: Those of each ε, where several stand side by side.
ASIDE = (*(name for name in _ACCURACIES if name != "pgd_acc"), DIFFERENCE)

_SHORT = {
    DIFFERENCE: "Differences: points, with 95 % intervals that hold together for all pairs of rows;"
    " n.d.: not distinguishable.",
    INTERVAL: "95 % interval: of the mean.",
    "passes": "Passes: images through the network per training image and epoch.",
}


def paper_tables(contents: Contents, layout: Layout) -> dict[str, Table]:
    """Return the tables of a report by the stems of their files, those of comparisons first.

    Comparisons of one setting and norm that differ in ε stand in a table of their own too, side by
    side. Raises :class:`UserError` for columns or rows that no comparison has, and for a caption
    that several tables would share.
    """
    rows = _row_labels(contents, layout)
    compared = contents.comparisons
    require_layout(contents, layout)
    found: dict[str, Table] = {}
    for stem, table in compared.items():
        kept = _with_rows(table, rows)
        if kept.rows or not table.rows:
            chosen = _with_columns(kept, layout.table_columns or USUAL)
            found[stem] = replace(chosen, notes=_notes(chosen, layout.notes))
    for stem, tables in _several_budgets(contents).items():
        apart = {
            group: _with_columns(_with_rows(table, rows), layout.table_columns or ASIDE)
            for group, table in tables.items()
        }
        joined = side_by_side(apart)
        if joined.rows:
            found[stem] = replace(joined, notes=_notes(joined, layout.notes))
    for stem, table in contents.tables.items():
        if stem not in compared:
            found[stem] = replace(table, notes=()) if layout.notes == "none" else table
    if len(found) > 1 and "{}" not in layout.caption:
        raise UserError(
            f"--caption {layout.caption!r} would name {len(found)} tables alike: {{}} stands for"
            " what each shows"
        )
    return {stem: named(table, contents.names) for stem, table in found.items()}


def require_layout(contents: Contents, layout: Layout) -> None:
    """Raise :class:`UserError` for columns or rows that no comparison has."""
    _require_columns(contents.comparisons.values(), layout.table_columns)
    _row_labels(contents, layout)


def named(table: Table, names: Mapping[str, str]) -> Table:
    """Show methods by the names of their labels, in the first column and in headers."""

    def shown(cell: Cell) -> Cell:
        return replace(cell, value=names.get(str(cell.value), cell.value))

    headers = {f" − {label}": f" − {name}" for label, name in names.items()}
    return replace(
        table,
        columns=tuple(replace(c, header=_ended(c.header, headers)) for c in table.columns),
        rows=tuple((shown(first), *others) for first, *others in table.rows),
    )


def side_by_side(tables: Mapping[str, Table]) -> Table:
    """Join tables of the same rows by what their columns stand under; cells may be missing."""
    cells: dict[object, dict[str, tuple[Cell, ...]]] = {}
    signs: dict[object, str] = {}
    for group, table in tables.items():
        for first, *others in table.rows:
            cells.setdefault(first.value, {})[group] = tuple(others)
            seen = signs.get(first.value, "")
            signs[first.value] = seen + "".join(sign for sign in first.signs if sign not in seen)
    one = next(iter(tables.values()))
    columns = [
        replace(column, id=f"{column.id}@{group}", group=group)
        for group, table in tables.items()
        for column in table.columns[1:]
    ]
    rows = (
        (
            Cell(str(label), signs=signs[label]),
            *(
                cell
                for group, table in tables.items()
                for cell in here.get(group, (Cell(),) * (len(table.columns) - 1))
            ),
        )
        for label, here in cells.items()
    )
    notes = {note: [g for g, t in tables.items() if note in t.notes] for note in _all(tables)}
    said = (
        note if len(groups) == len(tables) else _placed(note, groups)
        for note, groups in notes.items()
    )
    beside = f"trained and attacked under {' and '.join(tables)}"
    rest = one.caption.partition(". ")[2]
    caption = f"{one.subject}: {beside}. {rest}"
    return Table(caption, (one.columns[0], *columns), tuple(rows), tuple(said), one.subject)


def _all(tables: Mapping[str, Table]) -> list[str]:
    return list(dict.fromkeys(note for table in tables.values() for note in table.notes))


def _placed(note: str, groups: Sequence[str]) -> str:
    """Say of a note where it belongs, behind its sign if it has one."""
    sign, where = (note[:1], note[1:].lstrip()) if note[:1] in MEANINGS else ("", note)
    return " ".join(filter(None, (sign, f"{' and '.join(groups)}: {where}")))


def _several_budgets(contents: Contents) -> dict[str, dict[str, Table]]:
    """Return the comparisons of each setting and norm that has several ε, by stem and by ε."""
    found: dict[str, dict[str, Table]] = {}
    for block in contents.main_blocks:
        threat = block.cohort.train_threat
        if block.at_home:
            stem = f"budgets-{block.cohort.setting.stem}-{threat.norm}"
            tables = found.setdefault(stem, {})
            tables[threat_words(threat)] = contents.comparisons[block.stem]
    return {stem: tables for stem, tables in found.items() if len(tables) > 1}


def _row_labels(contents: Contents, layout: Layout) -> list[str] | None:
    """Return the labels of the rows asked for; None for all."""
    if layout.rows is None:
        return None
    groups = (group for cohort in contents.cohorts for group in cohort.groups)
    return labels_called(layout.rows, groups, contents.names, "row")


def _require_columns(tables: Collection[Table], asked: Sequence[str] | None) -> None:
    known = {name for table in tables for column in table.columns for name in _called(column)}
    for name in asked or ():
        if name != ALL and name not in known:
            ids = dict.fromkeys(column.id for table in tables for column in table.columns)
            raise unknown("table column", name, (ALL, *ids))


def _called(column: Column) -> tuple[str, str]:
    return column.id, column.header


def _with_rows(table: Table, labels: Sequence[str] | None) -> Table:
    if labels is None:
        return table
    by_label = {str(row[0].value): row for row in table.rows}
    return replace(table, rows=tuple(by_label[label] for label in labels if label in by_label))


def _with_columns(table: Table, asked: Sequence[str]) -> Table:
    """Keep the first column, and of the others those asked for, in that order."""
    places = list(range(1, len(table.columns)))
    if ALL not in asked:
        places = [
            place for name in asked for place in places if name in _called(table.columns[place])
        ]
    kept = list(dict.fromkeys([0, *places]))
    return replace(
        table,
        columns=tuple(table.columns[place] for place in kept),
        rows=tuple(tuple(row[place] for place in kept) for row in table.rows),
    )


def _notes(table: Table, which: str) -> tuple[str, ...]:
    if which == "full" or not table.notes:
        return table.notes
    return () if which == "none" else (" ".join(_short_notes(table)),)


def _short_notes(table: Table) -> Iterator[str]:
    """The least that a reader needs: units, what bold is, and what signs and gaps stand for."""
    if any(column.kind == "mean" for column in table.columns):
        yield "Percent, mean ± standard deviation over seeds."
    if any(cell.best for row in table.rows for cell in row):
        yield "Bold: not distinguishable from the best."
    ids = dict.fromkeys(column.id.partition("@")[0] for column in table.columns)
    yield from (_SHORT[name] for name in ids if name in _SHORT)
    for note in table.notes:
        if note[:1] in MEANINGS or note.startswith("Failed: "):
            yield note


def _ended(header: str, ends: Mapping[str, str]) -> str:
    for end, replaced in ends.items():
        if header.endswith(end):
            return header.removesuffix(end) + replaced
    return header
