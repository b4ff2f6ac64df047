"""Tables as JSON hold values, and what they mean."""

from __future__ import annotations

import json

import pytest
from support.tables import table_of

from regmix_bench.reporting.formats.json_tables import tables_json
from regmix_bench.reporting.report import stale, write_report
from regmix_bench.reporting.values import Cell


def test_cells_hold_values_and_lack_what_says_nothing() -> None:
    best = Cell(0.5, "share", spread=0.1, interval=(0.4, 0.6), count=3, best=True)
    table = table_of((Cell("trades", signs="†"), best), (Cell("mart"), Cell()), notes=("† n",))
    found = json.loads(tables_json({"t": table}))["tables"]["t"]
    assert [(c["id"], c["kind"]) for c in found["columns"]] == [("Method", "words"), ("A", "mean")]
    share = {"value": 0.5, "scale": "share", "spread": 0.1, "interval": [0.4, 0.6], "count": 3}
    assert found["rows"] == [
        {"Method": {"value": "trades", "signs": "†"}, "A": {**share, "best": True}},
        {"Method": {"value": "mart"}, "A": {}},
    ]
    assert found["notes"] == ["† n"]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), None])
def test_what_is_no_finite_number_is_left_out(number) -> None:
    table = table_of((Cell("a"), Cell(number, "share", spread=0.1)), (Cell("b"), Cell(0.5)))
    first, second = json.loads(tables_json({"t": table}))["tables"]["t"]["rows"]
    assert (first["A"], second["A"]) == ({}, {"value": 0.5})


def test_the_report_holds_the_numbers_of_its_records(record, save, tmp_path) -> None:
    results = save(record("pgd-at", clean=1 / 3), record("trades", clean=0.25, autoattack=None))
    out = tmp_path / "reports"
    (path, _) = write_report(results, out, ("json",))
    table, of_checkpoints = json.loads(path.read_text())["tables"].values()
    first, second = table["rows"]
    assert first["method"]["value"] == "pgd-at"
    assert first["clean_acc"]["value"] == pytest.approx(1 / 3, abs=0)
    assert "best" not in first["clean_acc"]
    assert first["training_seconds"] == {"value": 90.0, "scale": "seconds", "count": 1}
    assert second["autoattack_acc"] == {} and len(of_checkpoints["rows"]) == 2
    better = {column["id"]: column["better"] for column in table["columns"]}
    assert (better["clean_acc"], better["passes"], better["seeds"]) == ("higher", "lower", None)
    assert stale(results, out) == []
    path.write_text(path.read_text().replace("90.0", "91.0"))
    assert len(stale(results, out)) == 1
