"""Published numbers of nobody, as ``published.yaml`` holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from regmix_bench.records.paths import PUBLISHED

SOURCE = {
    "name": "Somebody",
    "citation": "Somebody 2018",
    "where": "table 1",
    "url": "https://example.org/1",
}
ROW: dict[str, Any] = {
    "label": "AT [theirs]",
    "source": "somebody",
    "dataset": "digits",
    "threat": {"norm": "Linf", "epsilon": "64/510"},
    "arch": "SmallCNN",
    "scored": {"weights": "raw", "epoch": "last"},
    "selection": "none",
    "tricks": {
        "true_class_mass": 1.0,
        "averaging": "none",
        "awp": "none",
        "extra_data": "none",
        "other": "none",
    },
    "images": 10000,
    "seeds": 3,
    "clean": "87.14 ± 0.30",
    "robust": {"AutoAttack": "44.04 ± 0.15"},
}


def put(
    results: Path,
    *rows: object,
    sources: dict[str, Any] | None = None,
    protocols: dict[str, Any] | None = None,
) -> Path:
    """Write rows, and what they refer to, as the published numbers of a results folder."""
    results.mkdir(exist_ok=True)
    path = results / PUBLISHED
    content = {
        "sources": {"somebody": SOURCE} | (sources or {}),
        "protocols": protocols or {},
        "rows": list(rows),
    }
    path.write_text(yaml.safe_dump(content, allow_unicode=True))
    return path


def without(key: str) -> dict[str, Any]:
    """Return the row without one of its keys."""
    return {name: value for name, value in ROW.items() if name != key}
