"""The comparison tables as one: every row with its setting, so that it can stand among others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from regmix_bench.analysis.blocks import Block
from regmix_bench.analysis.cohorts import row_order
from regmix_bench.analysis.words import norm_words, threat_words
from regmix_bench.methods.configured import all_params
from regmix_bench.records.accuracies import ACCURACIES, attack_words
from regmix_bench.records.tricks import seen_tricks
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.site.runs import RunPage
from regmix_bench.reporting.site.text import file_name
from regmix_bench.reporting.tables.comparison import DIFFERENCE, INTERVAL, SEEDS
from regmix_bench.reporting.tables.footnotes import MEANINGS
from regmix_bench.reporting.tables.tricks import TRICKS
from regmix_bench.reporting.values import Cell, Column, Table
from regmix_bench.types import Epsilon


class Facet(NamedTuple):
    """Something that rows are filtered by: its name in the page, its title, and its values."""

    name: str
    title: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class BoardEntry:
    """One row: what it is about, by facet, and its cells, by the id of their column.

    ``runs`` holds seed and run_id of each training behind it.
    """

    name: Cell
    method: str
    facets: dict[str, str]
    attack: str
    cells: dict[str, Cell]
    runs: tuple[tuple[int, str], ...]
    stem: str

    @property
    def label(self) -> str:
        return str(self.name.value)

    @property
    def setting(self) -> str:
        """The facets as one line, for where there is no room for their columns."""
        known = self.facets
        return (
            f"{known['dataset']}, {known['arch']}, {known['norm']}: trained {known['trained']},"
            f" tricks {known['tricks']}, attacked {known['attacked']}, {known['checkpoint']}"
        )


class Note(NamedTuple):
    """Caption and notes of the table that the rows of ``stem`` come from."""

    stem: str
    caption: str
    notes: tuple[str, ...]


class MethodPage(NamedTuple):
    """A recorded method: its page, the rows it has, its runs, and the parameters they used."""

    name: str
    file: str
    entries: tuple[BoardEntry, ...]
    board: Board
    runs: tuple[RunPage, ...]
    used: dict[str, tuple[object, ...]]
    versions: tuple[int, ...]


@dataclass(frozen=True)
class Board:
    """All rows, the columns that any of them has, and the notes of the tables they come from."""

    entries: tuple[BoardEntry, ...]
    columns: tuple[Column, ...]
    notes: tuple[Note, ...]

    @classmethod
    def of(cls, contents: Contents) -> Board:
        entries: list[BoardEntry] = []
        columns: list[Column] = []
        for block in contents.blocks:
            table = contents.comparisons[block.stem]
            attack = attack_words(block.cohort.setting.scoring)
            # Every row's tricks stand among its facets.
            shown = (column for column in table.columns[1:] if column.id != TRICKS)
            _join(columns, map(_shared, shown))
            entries += _entries(block, table, attack)
        notes = tuple(
            Note(block.stem, table.caption, table.notes)
            for block in contents.blocks
            for table in (contents.comparisons[block.stem],)
        )
        return cls(tuple(entries), tuple(sorted(columns, key=_rank)), notes)

    @property
    def facets(self) -> tuple[Facet, ...]:
        """Names and values to filter the rows by."""
        found = {
            name: dict.fromkeys(entry.facets[name] for entry in self.entries) for name in _FACETS
        }
        # Rows come by dataset, and the next may begin with smaller budgets.
        for name in ("trained", "attacked"):
            found[name] = dict.fromkeys(sorted(found[name], key=budget))
        return tuple(Facet(name, title, tuple(found[name])) for name, title in _FACETS.items())

    @property
    def attack(self) -> str:
        """The attack behind every row's robust accuracy; empty where there are several."""
        attacks = {entry.attack for entry in self.entries}
        return next(iter(attacks)) if len(attacks) == 1 else ""

    @property
    def legend(self) -> tuple[tuple[str, str], ...]:
        """Each sign that a row bears, and what it stands for."""
        used = {sign for entry in self.entries for sign in entry.name.signs}
        return tuple((sign, words) for sign, words in MEANINGS.items() if sign in used)

    def methods(self, runs: Sequence[RunPage]) -> tuple[MethodPage, ...]:
        """Return one page for each method that a run, finished or failed, names."""
        names = sorted({page.method for page in runs}, key=lambda name: row_order(name, ""))
        return tuple(self._method(name, runs) for name in names)

    def _method(self, name: str, runs: Sequence[RunPage]) -> MethodPage:
        own = tuple(page for page in runs if page.method == name)
        used: dict[str, dict[str, object]] = {}
        for page in own:
            for key, value in all_params(page.run.spec.method).items():
                used.setdefault(key, {})[repr(value)] = value
        return MethodPage(
            name,
            method_file(name),
            tuple(entry for entry in self.entries if entry.method == name),
            self,
            own,
            {key: tuple(values.values()) for key, values in used.items()},
            tuple(sorted({page.run.spec.method.version for page in own})),
        )


_FACETS = {
    "method": "Method",
    "dataset": "Dataset",
    "arch": "Architecture",
    "tricks": "Tricks",
    "norm": "Norm",
    "trained": "Training ε",
    "attacked": "Attacked ε",
    "checkpoint": "Checkpoint",
}


def method_file(name: str) -> str:
    """Return the page of the method that records call ``name``, below the site."""
    return f"methods/{file_name(name)}.html"


def budget(text: str) -> float:
    """Return the number that a facet such as ``32/255``, or ``L2 0.5``, is sorted by."""
    return float(Epsilon(text.rpartition(" ")[2]))


def capital(title: str) -> str:
    """Return a title as the header of a column."""
    return title[:1].upper() + title[1:]


def _shared(column: Column) -> Column:
    """The column that tables attacked by something else, or with another reference, share."""
    if column.id == DIFFERENCE:
        return replace(column, header="vs. reference")
    title = next((a.title for a in ACCURACIES if a.id == column.id), None)
    return replace(column, id=title, header=capital(title)) if title else column


def _join(columns: list[Column], others: Iterable[Column]) -> None:
    """Add the columns of another table, each new one after that which it follows there."""
    known = [column.id for column in columns]
    place = 0
    for column in others:
        if column.id in known:
            place = known.index(column.id) + 1
        else:
            columns.insert(place, column)
            known.insert(place, column.id)
            place += 1


def _rank(column: Column) -> int:
    """Where a column stands: the accuracies and verdicts, then the seeds, then all else."""
    first = {INTERVAL, DIFFERENCE, *(accuracy.title for accuracy in ACCURACIES)}
    return 0 if column.id in first else 1 if column.id == SEEDS else 2


def _entries(block: Block, table: Table, attack: str) -> Iterator[BoardEntry]:
    ids = [_shared(column).id for column in table.columns[1:]]
    setting, trained, attacked = block.cohort.setting, block.cohort.train_threat, block.eval_threat
    for row, (name, *cells) in zip(block.rows, table.rows, strict=True):
        facets = {
            "method": row.group.method,
            "dataset": setting.dataset,
            "arch": setting.arch,
            "tricks": str(seen_tricks(row.group.tricks, block.checkpoint)),
            "norm": norm_words(attacked.norm),
            # Its norm goes without saying, unless it is another one.
            "trained": str(trained.epsilon)
            if trained.norm == attacked.norm
            else threat_words(trained),
            "attacked": str(attacked.epsilon),
            "checkpoint": block.checkpoint,
        }
        yield BoardEntry(
            name,
            row.group.method,
            facets,
            attack,
            dict(zip(ids, cells, strict=True)),
            tuple((run.spec.seed, run.record.run_id) for run, _ in row.scores),
            block.stem,
        )
