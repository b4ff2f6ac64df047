"""A study sheet on disk: what its rows share is written once, and read into each of them.

``shared`` of the sheet holds for the rows of all tables, that of a table for its own, and a row has
the last word. Mappings are joined key by key, anything else is replaced whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError

from regmix_bench.errors import UserError, first_problem, unknown
from regmix_bench.notation import read_yaml
from regmix_bench.sheets.sheet import Sheet, SheetTable
from regmix_bench.system.reading import read_text

SHARED = "shared"
#: Characters that a sheet may have when all rows hold what they share.
_LARGEST = 2**26
#: What pydantic calls an unknown key, of a model and of a dataclass.
_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
#: Where pydantic keeps the fields of both.
_FIELDS = "__pydantic_fields__"


def read_sheet(path: Path) -> Sheet:
    """Read a sheet of YAML.

    Raises :class:`UserError`, of one line, where it cannot be read, for an unknown key, and for a
    value that is refused, with the place where it stands.
    """
    content = read_content(path)
    try:
        return make_sheet(content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def read_content(path: Path) -> dict[str, Any]:
    """Read the values that a file of YAML holds by key.

    Raises :class:`UserError` where it cannot be read, is not YAML, or holds something else.
    """
    try:
        content = read_yaml(read_text(path))
    except OSError as error:
        raise UserError(f"cannot read sheet {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: a sheet is a mapping with title and tables")
    return content


def make_sheet(content: dict[str, Any]) -> Sheet:
    """Make a sheet of the values that a file holds; raises as :func:`read_sheet` does."""
    try:
        # As JSON, where a list is a tuple and a text is not a number.
        return Sheet.model_validate_json(json.dumps(_unfolded(content)))
    except ValidationError as error:
        for problem in error.errors():  # of a key that is misspelt, rather than of one missing
            if problem["type"] in _UNKNOWN_KEY:
                *place, key = problem["loc"]
                where = ".".join(map(str, place)) or "a sheet"
                raise unknown(f"key of {where}", key, _keys_at(place)) from None
        raise UserError(str(first_problem(error))) from None


def joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``one`` with the values of ``other``, which go before; mappings are joined."""
    found = dict(one)
    for key, value in other.items():
        old = found.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            found[key] = joined(old, value)
        else:
            found[key] = value
    return found


def mapping_at(content: Mapping[str, Any], key: str, place: str = "") -> dict[str, Any]:
    """Return the mapping at a key, an empty one where there is none.

    Raises :class:`UserError` for anything else, with ``place`` before the key.
    """
    found = content.get(key, {})
    if not isinstance(found, dict):
        raise UserError(f"{place}{key} is no mapping")
    return found


def _unfolded(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content with what rows share in each of them; other shapes stay for the models."""
    everywhere = mapping_at(content, SHARED)
    tables = content.get("tables")
    if not isinstance(tables, dict):
        return content
    left = _LARGEST
    unfolded = {}
    for name, table in tables.items():
        if not isinstance(table, dict) or not isinstance(table.get("rows"), list):
            unfolded[name] = table
            continue
        shared = joined(everywhere, mapping_at(table, SHARED, f"tables.{name}."))
        left -= len(json.dumps(shared)) * max(1, len(table["rows"]))
        if left < 0:
            raise UserError("its rows share too much to be held by each")
        rows = [joined(shared, row) if isinstance(row, dict) else row for row in table["rows"]]
        unfolded[name] = {**_without_shared(table), "rows": rows}
    return {**_without_shared(content), "tables": unfolded}


def _keys_at(place: Sequence[int | str]) -> set[str]:
    """Return the keys that there are at a place such as ``tables``, ``cifar10``, ``rows``, 3."""
    found: Any = Sheet
    for step in place:
        if hasattr(found, _FIELDS):
            found = getattr(found, _FIELDS)[step].annotation
        else:
            found = get_args(found)[1 if get_origin(found) is dict else 0]
        while get_origin(found) in (Annotated, Union, UnionType):
            found = get_args(found)[0]  # of a model or None the model alone has keys
    shared = {SHARED} if found in (Sheet, SheetTable) else set()
    return shared | set(getattr(found, _FIELDS))


def _without_shared(content: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != SHARED}
