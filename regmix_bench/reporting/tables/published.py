"""Numbers that others have published, beside ours and never as ours."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from regmix_bench.analysis.words import threat_words
from regmix_bench.errors import UserError, validated
from regmix_bench.notation import read_yaml
from regmix_bench.registry import FILE_NAME
from regmix_bench.reporting.formats.cells import fixed
from regmix_bench.reporting.values import Cell, Column, Table
from regmix_bench.system.reading import read_text
from regmix_bench.types import Frozen, ThreatModel

FILE = "published.yaml"
SIGN = "*"

Percent = Annotated[float, Field(ge=0, le=100)]


class Published(Frozen):
    """One model's accuracies in percent, as its source gives them.

    ``threat`` is the one of training and of attack; ``robust`` names each attack as the header of
    our tables would. What the source leaves open is left out.
    """

    label: str = Field(min_length=1)
    dataset: str = Field(pattern=FILE_NAME)
    threat: ThreatModel
    arch: str | None = None
    clean: Percent | None = None
    robust: dict[str, Percent] = Field(min_length=1)
    extra_data: bool | None = None
    source: str = Field(min_length=1)
    url: str | None = Field(None, pattern="^https://")


def published_file(results: Path) -> Path:
    """Return ``<results>/published.yaml`` if there is one, or else the file of this package."""
    own = results / FILE
    return own if os.path.lexists(own) else Path(str(files("regmix_bench.reporting") / FILE))


def load_published(results: Path) -> tuple[Published, ...]:
    """Read the list of :class:`Published` in :func:`published_file`.

    Raises :class:`UserError` where it cannot be read, is no such list, or an entry is refused.
    """
    path = published_file(results)
    try:
        # pydantic says what may be made of a text.
        content = read_yaml(read_text(path), texts=True)
    except OSError as error:
        raise UserError(f"cannot read published numbers {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise UserError(f"{path} is not a list of published models")
    try:
        return tuple(
            validated(Published, item, f"entry {number}")
            for number, item in enumerate(content, start=1)
        )
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def fitting(
    entries: Iterable[Published], dataset: str, threat: ThreatModel
) -> tuple[Published, ...]:
    """Return the entries of one dataset and threat."""
    return tuple(e for e in entries if (e.dataset, e.threat) == (dataset, threat))


def beside(table: Table, entries: Sequence[Published]) -> Table:
    """Add a marked row for each entry to a table, filled where an entry knows the column.

    A footnote for each source names it, and gives what no column has a place for.
    """
    if not entries:
        return table
    rows = []
    for entry in entries:
        known = {name: Cell(value / 100, "share", 2) for name, value in _accuracies(entry)}
        known |= {"Arch": Cell(entry.arch)} if entry.arch else {}
        cells = (known.get(_called(column), Cell()) for column in table.columns[1:])
        rows.append((Cell(entry.label, signs=SIGN), *cells))
    sources: dict[str, list[str]] = defaultdict(list)
    for entry in entries:
        source = ", ".join(filter(None, (entry.source, entry.url)))
        sources[source].append(_named(entry, [_called(column) for column in table.columns]))
    notes = (
        f"{SIGN} Not measured here but published: {', '.join(names)}: {source}."
        for source, names in sources.items()
    )
    return replace(table, rows=(*table.rows, *rows), notes=(*table.notes, *notes))


def alone(entries: Iterable[Published]) -> dict[str, Table]:
    """Make a table for each dataset and threat of the entries, by the stem of its file's name."""
    sorted_in: dict[tuple[str, ThreatModel], list[Published]] = defaultdict(list)
    for entry in entries:
        sorted_in[(entry.dataset, entry.threat)].append(entry)
    found = {}
    for (dataset, threat), here in sorted_in.items():
        attacks = dict.fromkeys(name for entry in here for name in entry.robust)
        caption = f"{dataset}: trained and attacked under {threat_words(threat)}."
        note = "Accuracy in percent. Recipes, architectures and test images differ."
        columns = (
            *(Column("method", "Method"), Column("arch", "Arch")),
            Column("clean_acc", "Clean", "number", "higher"),
            *(Column(name, name, "number", "higher") for name in attacks),
        )
        blank = Table(caption, columns, (), (note,))
        found[f"published-{dataset}-{threat.norm}-{threat.epsilon.slug}"] = beside(blank, here)
    return found


def published_accuracies(entries: Sequence[Published]) -> pd.DataFrame:
    """Return the entries in long form: one row per model and metric, in percent as published."""
    return pd.DataFrame(
        [
            {
                "label": entry.label,
                "dataset": entry.dataset,
                "norm": entry.threat.norm,
                "epsilon": str(entry.threat.epsilon),
                "arch": entry.arch,
                "extra_data": entry.extra_data,
                "metric": name,
                "percent": value,
                "source": entry.source,
                "url": entry.url,
            }
            for entry in entries
            for name, value in _accuracies(entry)
        ]
    )


def _called(column: Column) -> str:
    """Return what an entry calls a column: attacks go by their headers, and the rest by ids."""
    return {"arch": "Arch", "clean_acc": "Clean"}.get(column.id, column.header)


def _accuracies(entry: Published) -> list[tuple[str, float]]:
    clean = [] if entry.clean is None else [("Clean", entry.clean)]
    return [*clean, *entry.robust.items()]


def _named(entry: Published, columns: Sequence[str]) -> str:
    """The label, with what is known and has no column in the table."""
    homeless = [
        *([entry.arch] if entry.arch and "Arch" not in columns else []),
        *(f"{name} {fixed(value, 2)}" for name, value in _accuracies(entry) if name not in columns),
        *(["extra training data"] if entry.extra_data else []),
    ]
    return f"{entry.label} [{', '.join(homeless)}]" if homeless else entry.label
