"""The schema of what is written down: records as JSON Schema, and the columns of outcomes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markdown import paragraphs, plain
from pydantic import TypeAdapter

from regmix_bench.grid.suite_schema import suite_schema
from regmix_bench.records import outcomes
from regmix_bench.records.schema import CorruptionRecord, EvalRecord, RunRecord, TransferRecord

INTRODUCTION = """# Schema

A record is one JSON file for each run, evaluation, transfer or test on corrupted images; beside
it lies a Parquet file with one row for each image and threat. Here is what either may hold, and
what a suite file may say, as JSON Schema 2020-12. A reader of this package asks more: lengths
agree, what is one of several is there once, and old versions are read by `records/migrations.py`.
"""

RECORDS = {
    "run": RunRecord,
    "evaluation": EvalRecord,
    "transfer": TransferRecord,
    "corruptions": CorruptionRecord,
}

#: What the columns of outcomes mean, those of each stage by their last word.
COLUMNS = {
    outcomes.NORM: ("string", "The norm of the threat, such as Linf."),
    outcomes.EPSILON: ("string", "Its budget, as it was typed, such as 8/255."),
    outcomes.INDEX: ("integer", "The image's position in the test split, from 0."),
    outcomes.LABEL: ("integer", "Its class, from 0."),
    outcomes.CLEAN_CORRECT: ("boolean", "Whether it is right without an attack."),
    outcomes.PGD_CORRECT: ("boolean", "Whether it is right without an attack and after PGD-20."),
    outcomes.BROKEN_BY: ("string", "The attack of the ensemble that broke it; empty if it held."),
    outcomes.CLEAN_PRED: ("integer", "The class predicted without an attack."),
    outcomes.ADV_PRED: ("integer", "The class predicted of the adversarial image."),
    outcomes.CLEAN_MARGIN: ("number", "The true logit less the largest other one, clean."),
    outcomes.ADV_MARGIN: ("number", "The same, of the adversarial image."),
}
STAGES = {
    "_norm$": ("number", "The length of the perturbation that this stage made."),
    "_margin$": ("number", "The margin after this stage."),
    "_broke$": ("boolean", "Whether this attack broke the image."),
    "_queries$": ("integer", "The passes of a black box until it found one, or in all."),
}


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each kind of record, of outcomes and of a suite file, by name."""
    found = {name: TypeAdapter(kind).json_schema() for name, kind in RECORDS.items()}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    found |= {"outcomes": _row(), "suite": suite_schema()}
    return {name: {**head, **each} for name, each in found.items()}


def _row() -> dict[str, Any]:
    def column(kind: str, meaning: str, missing: bool) -> dict[str, Any]:
        return {"type": [kind, "null"] if missing else kind, "description": meaning}

    known = set(outcomes.REQUIRED)
    return {
        "title": "A row of outcomes",
        "type": "object",
        "properties": {name: column(*each, name not in known) for name, each in COLUMNS.items()},
        "patternProperties": {name: column(*each, True) for name, each in STAGES.items()},
        "required": list(outcomes.REQUIRED),
    }


def pages() -> dict[str, str]:
    """Return the page and the files of the schemas, below ``reference/``."""
    found = schemas()
    text = "\n".join((INTRODUCTION, *("\n".join(_section(*each)) for each in found.items())))
    files = {f"{name}.schema.json": json.dumps(each, indent=1) for name, each in found.items()}
    return {"schema.md": text, **files}


def _section(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {name.capitalize()}\n"
    yield f"[{name}.schema.json]({name}.schema.json)\n"
    yield from _fields(schema)
    for part, fields in schema.get("$defs", {}).items():
        if "properties" in fields:
            yield f"### {part} of {name}\n"
            yield from _fields(fields)


def _fields(schema: Mapping[str, Any]) -> Iterator[str]:
    if about := schema.get("description", ""):
        yield from paragraphs(about)
    fields = {**schema["properties"], **schema.get("patternProperties", {})}
    described = any("description" in field for field in fields.values())
    yield "| Field | Type | Always there |" + " |" * described
    yield "| :--- | :--- | :--- |" + " :--- |" * described
    for name, field in fields.items():
        always = "yes" if name in schema.get("required", ()) else ""
        meaning = f" {plain(field.get('description', ''))} |" * described
        yield f"| `{name}` | {_kind(field)} | {always} |{meaning}"
    yield ""


def _kind(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return field["$ref"].rpartition("/")[2]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in field:
            return " or ".join(dict.fromkeys(map(_kind, field[key])))
    if "enum" in field or "const" in field:
        return " or ".join(f"`{each}`" for each in field.get("enum", [field.get("const")]))
    kind = field.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array" and "items" in field:
        return f"array of {_kind(field['items'])}"
    if kind == "object" and isinstance(field.get("additionalProperties"), dict):
        return f"object of {_kind(field['additionalProperties'])}"
    return str(kind)
