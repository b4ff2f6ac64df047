"""Tables as JSON: their values, for tools."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from regmix_bench.reporting.values import Cell, Table
from regmix_bench.system.text import visible

#: Raise it when a key changes its name or its meaning.
VERSION = 1

# How it is shown is no part of a value.
_KEYS = {field.name: field.default for field in fields(Cell) if field.name != "decimals"}


def tables_json(tables: Mapping[str, Table]) -> str:
    """Write tables by the stem of their files' names.

    A row is an object that has the cells by the ids of their columns; a cell lacks the keys that
    say nothing, and is empty where no finite number was measured. Numbers are not rounded.
    """
    content = {"version": VERSION, "tables": {stem: _table(t) for stem, t in tables.items()}}
    return visible(json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False)) + "\n"


def _table(table: Table) -> dict[str, Any]:
    ids = [column.id for column in table.columns]
    return {
        "caption": table.caption,
        "columns": [
            {key: value for key, value in asdict(column).items() if key != "group"}
            for column in table.columns
        ],
        "rows": [dict(zip(ids, map(_cell, row), strict=True)) for row in table.rows],
        "notes": table.notes,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    found = {key: value for key, no in _KEYS.items() if _says(value := getattr(cell, key), no)}
    return found if "value" in found else {}


def _says(value: Any, nothing: Any) -> bool:
    # JSON has neither NaN nor infinity.
    numbers = value if isinstance(value, tuple) else (value,)
    return value != nothing and all(math.isfinite(n) for n in numbers if isinstance(n, float))
