"""Notes on recorded runs: ``notes.yaml`` in a results folder, which adds what no record knows.

Notes have the form of a sheet and say where hyper-parameters come from, how large the whole test
set is, and what is allowed. Their rows are those of the records, by method; what a record says they
cannot say otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from regmix_bench.errors import UserError, unknown
from regmix_bench.records.paths import NOTES
from regmix_bench.sheets.reader import SHARED, joined, mapping_at, read_content


def notes_file(results: Path) -> Path | None:
    """Return ``<results>/notes.yaml`` if there is one."""
    path = results / NOTES
    return path if os.path.lexists(path) else None


def with_notes(content: dict[str, Any], results: Path, *, whole: bool = True) -> dict[str, Any]:
    """Return the sheet of records in ``results``, as a file would hold it, with their notes.

    Where ``content`` is not of the ``whole`` folder, notes of other tables and rows are left out.
    Raises :class:`UserError` where notes cannot be read, are of a table or a row that there is not,
    or say what the records say.
    """
    path = notes_file(results)
    if path is None:
        return content
    notes = read_content(path)
    try:
        return _noted(content, notes if whole else _about(content, notes))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _noted(content: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[str, Any]:
    tables: dict[str, Any] = dict(content["tables"])
    everywhere = mapping_at(notes, SHARED)
    for name in mapping_at(notes, "tables").keys() - tables.keys():
        raise unknown("table", name, tables)
    for name, table in tables.items():
        added = mapping_at(mapping_at(notes, "tables"), name)
        here = joined(everywhere, mapping_at(added, SHARED))
        own = _rows(added)
        methods = [row["method"] for row in table["rows"]]
        for method in own.keys() - {*methods}:
            raise unknown(f"method of {name}", method, methods)
        rows = []
        for row in table["rows"]:
            more = {
                key: each for key, each in own.get(row["method"], {}).items() if key != "method"
            }
            _require_new(joined(here, more), joined(table[SHARED], row), f"{name}.{row['method']}")
            rows.append(joined(row, more))
        _require_new({k: v for k, v in added.items() if k not in (SHARED, "rows")}, table, name)
        tables[name] = {**table, **added, SHARED: joined(table[SHARED], here), "rows": rows}
    rest = {key: value for key, value in notes.items() if key not in (SHARED, "tables")}
    return {**content, **rest, "tables": tables}


def _about(content: Mapping[str, Any], notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the notes of the tables and rows that there are."""
    here = content["tables"]
    tables = {}
    for name in here.keys() & mapping_at(notes, "tables").keys():
        table = mapping_at(mapping_at(notes, "tables"), name)
        methods = {row["method"] for row in here[name]["rows"]}
        rows = [row for method, row in _rows(table).items() if method in methods]
        tables[name] = {**table, "rows": rows}
    allow = {
        rule: {name: why for name, why in reason.items() if name in here}
        if isinstance(reason, dict)
        else reason
        for rule, reason in mapping_at(notes, "allow").items()
    }
    return {**notes, "tables": tables, "allow": {rule: why for rule, why in allow.items() if why}}


def _rows(table: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The rows of a table by method."""
    rows = table.get("rows", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UserError("rows is no list of mappings")
    return {str(row.get("method")): row for row in rows}


def _require_new(added: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    """Raise :class:`UserError` where notes say what records say already."""
    for key, value in added.items():
        if isinstance(value, dict) and isinstance(known.get(key), dict):
            _require_new(value, known[key], f"{where}.{key}")
        elif known.get(key) is not None:
            raise UserError(f"{where}.{key} is said by the records, and not by notes")
