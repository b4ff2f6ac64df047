"""The form of a suite file as JSON Schema, for editors that check while one types."""

from __future__ import annotations

from typing import Any

from regmix_bench.grid.suite_files import BY_DEVICE, GROUP_MODELS, Grid, Shorthands

TITLE = "A suite of regmix-bench"


def suite_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a suite file: one grid, or several that share keys.

    It knows every key and the values of each alone. What must fit together, a method and its
    parameters among it, ``regmix-bench suite check`` tells.
    """
    keys = {**_fields(Grid), **_fields(Shorthands)}
    for group, model in GROUP_MODELS.items():
        keys[group] = _mapping_of(_fields(model))
    for group, key in BY_DEVICE:
        values = keys[group]["properties"][key]
        values["enum"] = [*values["enum"], "auto"]
        values["default"] = "auto"
    grids = {
        "description": "Grids of their own, whose keys replace those beside this list.",
        "type": "array",
        "minItems": 1,
        "items": _mapping_of(keys),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        "description": (Grid.__doc__ or "").partition("\n")[0],
        **_mapping_of({**keys, "grids": grids}),
        "anyOf": [{"required": ["methods", "eps"]}, {"required": ["grids"]}],
    }


def _fields(model: type[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = model.model_json_schema()
    assert "$defs" not in schema  # to which a field that is copied would refer in vain
    return {
        name: {k: v for k, v in field.items() if k != "title"}
        for name, field in schema["properties"].items()
    }


def _mapping_of(keys: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": keys, "additionalProperties": False}
