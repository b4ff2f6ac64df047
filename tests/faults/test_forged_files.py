"""Files that a forger made to fit one another, and that say what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from support.harness import Answer, Grid, cli
from support.mutations import bind

Tell = Callable[[Answer, str], None]

RECORDS = {
    "an accuracy above 1": ("evaluations", lambda v: [v[0] | {"clean_acc": 1.5}]),
    "a score twice": ("evaluations", lambda v: [v[0], v[0]]),
    "more images than there are": ("evaluations", lambda v: [v[0] | {"n_examples": 10**6}]),
    "a list 300 deep": ("environment", lambda v: {"cpu": json.loads("[" * 300 + "]" * 300)}),
    "half a character": ("environment", lambda v: {"cpu": "\ud800"}),
    "an integer of 400 digits": ("n_parameters", lambda v: 10**400),
    "a loss of 1e308": ("history", lambda v: [v[0] | {"loss": 1e308}, *v[1:]]),
    "an epoch that was not": ("selected_epoch", lambda v: 99),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_with(grid: Grid, tell: Tell, kind: str) -> None:
    name, change = RECORDS[kind]
    path = grid.one("fgsm-rs-*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    content[name] = change(content[name])
    path.write_text(json.dumps(content))
    for command in (grid.report, ("check", "--results", grid.results)):
        found = cli(*command)
        assert found.status == 2 and f"{path} is not a record: " in found.errors, found
    tell(found, "the report of before, and every other record")


def lists(table: pa.Table) -> pa.Table:
    return table.set_column(3, "label", pa.array([[1]] * table.num_rows))


TABLES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "a column of lists": lists,
    "no rows": lambda table: table.slice(0, 0),
    "too many rows": lambda table: pa.concat_tables([table] * 200),
    "what is not a number": lambda t: t.set_column(2, "index", pa.array([np.nan] * t.num_rows)),
    "labels below 0": lambda t: t.set_column(3, "label", pa.array([-1] * t.num_rows)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_outcomes_with(grid: Grid, tell: Tell, kind: str) -> None:
    path = next(p for p in grid.results.glob("digits/smallcnn/fgsm-rs-*.outcomes.parquet"))
    pq.write_table(TABLES[kind](pq.read_table(path)), path)
    bind(grid.results, path)
    found = cli(*grid.report, "--format", "csv")
    assert found.status == 2 and f"{path} is not an outcomes file: " in found.errors, found
    tell(found, "the report of before, and every record")


@pytest.mark.parametrize("kind", ["a grid of 0 by 0", "a loss that is not a number", "no images"])
def test_views_with(grid: Grid, tell: Tell, kind: str) -> None:
    path = next(p for p in grid.results.glob("digits/smallcnn/fgsm-rs-*.views.safetensors"))
    with safetensors.safe_open(path, "numpy") as file:
        about = file.metadata()
    arrays = safetensors.numpy.load_file(path)
    if kind == "a grid of 0 by 0":
        arrays["loss"] = arrays["loss"][:, :0, :0]
    elif kind == "no images":
        arrays = {name: array[:0] for name, array in arrays.items()}
    else:
        arrays["loss"] = np.full_like(arrays["loss"], np.nan)
    path.write_bytes(safetensors.numpy.save(arrays, about))
    bind(grid.results, path)
    found = cli(*grid.report, "--format", "html")
    assert found.status == 2 and f"{path} does not hold views of a run: " in found.errors, found
    tell(found, "the report of before, and every record")


@pytest.mark.parametrize("command", ["check", "report"])
def test_outcomes_that_are_gone(grid: Grid, tell: Tell, command: str) -> None:
    path: Path = next(p for p in grid.results.glob("digits/smallcnn/fgsm-rs-*.outcomes.parquet"))
    path.unlink()
    board = ("--reference", grid.results / "leaderboard.json")
    asked = grid.report if command == "report" else ("check", "--results", grid.results, *board)
    found = cli(*asked)
    assert found.status == 2 and f"{path} is missing, the outcomes that" in found.errors, found
    tell(found, "the report of before, and every record")
