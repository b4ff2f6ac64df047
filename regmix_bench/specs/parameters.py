"""Parameters of what is found by name, in words: default, values they may take, meaning."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from regmix_bench.specs.search import search_space


class Parameter(NamedTuple):
    """One parameter: its default, the values it may take, and its description, if any.

    What is ``allowed`` says, too, in which range `tune` looks for a value.
    """

    name: str
    default: str
    allowed: str
    description: str


def parameters_of(config: type[BaseModel]) -> tuple[Parameter, ...]:
    """Return the parameters that a ``Config`` declares, in its order."""
    fields, tuned = config.model_json_schema().get("properties", {}), search_space(config)
    return tuple(
        Parameter(
            key,
            value_words(field.get("default")),
            ", ".join(_allowed(field)) + (f"; tuned from {tuned[key]}" if key in tuned else ""),
            field.get("description", ""),
        )
        for key, field in fields.items()
    )


def value_words(value: object) -> str:
    """Return a parameter's value as a suite file would hold it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _allowed(field: Mapping[str, Any]) -> Iterator[str]:
    if "anyOf" in field:
        yield " or ".join(", ".join(_allowed(part)) for part in field["anyOf"])
    elif "enum" in field:
        yield " or ".join(value_words(value) for value in field["enum"])
    else:
        yield str(field.get("type", "any"))
    for key, sign in (
        ("minimum", "≥"),
        ("exclusiveMinimum", ">"),
        ("maximum", "≤"),
        ("exclusiveMaximum", "<"),
    ):
        if key in field:
            yield f"{sign} {field[key]:g}"
