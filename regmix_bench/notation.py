"""Values as they are typed, on the command line and in files of YAML and JSON: one meaning each.

Scalars are those of the core schema of YAML 1.2: ``010`` is ten, ``1:30``, ``yes`` and dates are
texts. There are no tags, no key stands twice, and what aliases stand for is counted.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import yaml

from regmix_bench.errors import UserError

#: What YAML's library raises: its own errors, and those of its converters, which it lets through,
#: such as that of a number of 10,000 digits.
_ERRORS = (yaml.YAMLError, RecursionError, ValueError)

_MOST_VALUES = 100_000

_PREFIX = "tag:yaml.org,2002:"


class _Texts(yaml.SafeLoader):
    """Reads every scalar as a text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    #: That are written out.
    values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self.values += not isinstance(event, yaml.AliasEvent)
        if (tag := getattr(event, "tag", None)) is not None:
            raise yaml.MarkedYAMLError(f"tag {tag} is not read", event.start_mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor: Any) -> Any:
        node = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) < len(keys):
            raise yaml.MarkedYAMLError(_twice(keys), node.start_mark)
        return node

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        _weigh(node, {}, self.values + _MOST_VALUES)
        return node


class _Values(_Texts):
    """Reads scalars as numbers, true, false and null where they are written like these."""

    yaml_implicit_resolvers = {}

    def construct_decimal(self, node: yaml.ScalarNode) -> int:
        return int(node.value)


for _kind, _form, _first in (
    ("merge", r"<<", ["<"]),
    ("null", r"~|null|Null|NULL|", ["", *"~nN"]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]+", [*"-+0123456789"]),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
              r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", [*"-+.0123456789"]),
):  # fmt: skip
    _Values.add_implicit_resolver(f"{_PREFIX}{_kind}", re.compile(f"(?:{_form})$"), _first)
_Values.add_constructor(f"{_PREFIX}int", _Values.construct_decimal)


def read_yaml(text: str, *, texts: bool = False) -> Any:
    """Read a document of YAML; with ``texts``, every scalar as the text that it is.

    Raises ``ValueError``, of one line, for what is none, for a tag, a key that stands twice in a
    mapping, and aliases that stand for themselves or add more than 100,000 values to those that are
    written out.
    """
    try:
        return yaml.load(text, _Texts if texts else _Values)
    except _ERRORS as error:
        raise ValueError(" ".join(str(error).split())) from error


def read_json(content: bytes) -> Any:
    """Read a document of JSON in UTF-8.

    Raises ``ValueError`` for what is none, for ``NaN`` and ``Infinity``, for a key that stands
    twice in an object, and for a text that could not be written.
    """
    text = content.decode()
    try:
        value = _JSON.decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if "\\u" in text:  # perhaps half a character
        json.dumps(value, ensure_ascii=False).encode()
    return value


def parse_value(text: str) -> object:
    """Return a value as a suite file would hold it: ``null`` and ``true`` mean the same here.

    Raises :class:`UserError` for a text that is not YAML.
    """
    try:
        return read_yaml(text)
    except ValueError:
        raise UserError(f"value {text.strip()[:80]!r} cannot be read") from None


def format_value(value: object) -> str:
    """Return a JSON value as it is typed, exactly; :func:`parse_value` reads it."""
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    if isinstance(value, str) and _is_plain(value):
        return value
    return json.dumps(value)


def _is_plain(text: str) -> bool:
    """Return whether a text means itself without quotes: ``true`` and ``1`` would not."""
    try:
        return not re.search(r"[\[\],]", text) and parse_value(text) == text
    except UserError:
        return False


def _weigh(node: Any, weights: dict[int, int], most: int) -> int:
    """Count the values below a node, those of an alias each time; ``weights`` are of nodes seen."""
    if id(node) not in weights:
        weights[id(node)] = most  # as long as it is open: it would stand for itself
        below = node.value if isinstance(node, yaml.CollectionNode) else ()
        inner = (part for item in below for part in (item if isinstance(item, tuple) else (item,)))
        weights[id(node)] = 1 + sum(_weigh(part, weights, most) for part in inner)
    if weights[id(node)] > most:
        raise yaml.MarkedYAMLError("its aliases stand for too many values", node.start_mark)
    return weights[id(node)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(_twice([key for key, _ in pairs]))
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_refuse)


def _twice(keys: Sequence[str]) -> str:
    twice, _ = Counter(keys).most_common(1)[0]
    return f"key {twice!r} stands twice"
