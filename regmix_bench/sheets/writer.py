"""A sheet as the text of YAML that :mod:`regmix_bench.sheets.reader` reads."""

from __future__ import annotations

import json
from typing import Any

import yaml

from regmix_bench.errors import UserError
from regmix_bench.notation import parse_value

#: Mappings and lists that are written in as many characters stand on one line.
_ONE_LINE = 120


class _Dumper(yaml.SafeDumper):
    """Writes what is short on one line, and texts so that they are read as texts."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Line(dict[str, Any]):
    """A mapping that stands on one line."""


class _LineList(list[Any]):
    """A list that stands on one line."""


_Dumper.add_representer(
    _Line, lambda d, value: d.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True)
)
_Dumper.add_representer(
    _LineList, lambda d, value: d.represent_sequence("tag:yaml.org,2002:seq", value, True)
)
_Dumper.add_representer(str, lambda d, value: d.represent_scalar(*_text(value)))


def sheet_text(content: dict[str, Any]) -> str:
    """Return a sheet, as :func:`~regmix_bench.sheets.reader.make_sheet` takes it, as YAML."""
    return yaml.dump(
        _shaped(content, top=True), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6
    )


def _shaped(value: Any, top: bool = False) -> Any:
    short = not top and len(json.dumps(value, ensure_ascii=False)) <= _ONE_LINE
    if isinstance(value, dict):
        kind: Any = _Line if short else dict
        return kind((key, _shaped(each)) for key, each in value.items())
    if isinstance(value, list):
        return (_LineList if short else list)(_shaped(each) for each in value)
    return value


def _text(value: str) -> tuple[str, str, str | None]:
    """Tag, text and style: quoted where it would be read as something else, such as ``1e5``."""
    try:
        plain = parse_value(value) == value
    except UserError:
        plain = False
    return "tag:yaml.org,2002:str", value, None if plain else '"'
