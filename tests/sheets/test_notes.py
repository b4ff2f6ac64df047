"""Notes add what no record knows, and cannot say what a record says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.sheets import record_runs

from regmix_bench.analysis.cohorts import load_runs
from regmix_bench.errors import UserError
from regmix_bench.sheets.own import study_content, study_sheet
from regmix_bench.sheets.sheet import Sheet, SheetRow


def sheet(results: Path) -> Sheet:
    return study_sheet(results, load_runs(results))


def rows(results: Path) -> dict[str, SheetRow]:
    (table,) = sheet(results).tables.values()
    return {row.method.partition("[")[0]: row for row in table.rows}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    record_runs(tmp_path)
    return tmp_path


def note(results: Path, content: Any) -> None:
    (results / "notes.yaml").write_text(yaml.safe_dump(content))


def test_notes_add_what_no_record_knows(results: Path) -> None:
    (name,) = sheet(results).tables
    own = {"method": "trades", "tuned_on": "test"}
    note(
        results,
        {
            "title": "Ours",
            "shared": {"tuned_on": "authors"},
            "tables": {name: {"shared": {"files": ["x"]}, "rows": [own]}},
            "allow": {"hyperparameters-chosen-on-test": {name: "as the paper says"}},
        },
    )
    found = sheet(results)
    assert (found.title, list(found.allow)) == ("Ours", ["hyperparameters-chosen-on-test"])
    trades, other = (rows(results)[key] for key in ("trades", "fgsm-pgi"))
    assert (trades.tuned_on, other.tuned_on) == ("test", "authors")
    assert trades.files == other.files == ("x",)
    assert trades.recipe.epochs == 50


def test_notes_of_what_is_not_shown_are_left_out_of_a_part(results: Path) -> None:
    (name,) = sheet(results).tables
    note(
        results,
        {
            "tables": {
                name: {"rows": [{"method": "trades", "tuned_on": "test"}, {"method": "mart"}]},
                "cifar10": {"shared": {"tuned_on": "test"}},
            },
            "allow": {
                "unlike-seeds": {"cifar10": "x"},
                "no-deviation": {name: "y", "cifar10": "x"},
                "run-left-out": "z",
            },
        },
    )
    with pytest.raises(UserError, match="unknown table 'cifar10'"):
        sheet(results)
    content = study_content(results, load_runs(results), whole=False)
    assert content is not None
    assert content["allow"] == {"no-deviation": {name: "y"}, "run-left-out": "z"}
    (trades,) = [row for row in content["tables"][name]["rows"] if row["method"] == "trades"]
    assert (list(content["tables"]), trades["tuned_on"]) == ([name], "test")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"tables": {"cifar10": {}}}, "notes.yaml: unknown table 'cifar10'"),
        ({"tables": {"NAME": {"rows": [{"method": "trade"}]}}}, "did you mean 'trades'"),
        ({"shared": {"recipe": {"epochs": 100}}}, "recipe.epochs is said by the records"),
        ({"shared": {"tricks": {"ema_decay": 0.9}}}, "tricks.ema_decay is said by the records"),
        (
            {"tables": {"NAME": {"rows": [{"method": "trades", "train_images": 5}]}}},
            "trades.train_images is said by the records",
        ),
        ({"tables": {"NAME": {"ranked_by": "pgd-20"}}}, "ranked_by is said by the records"),
        ({"tables": []}, "tables is no mapping"),
        ({"shared": {"tuned": "test"}}, "unknown key"),
        ({"tables": {"NAME": {"rows": {"method": "trades"}}}}, "rows is no list of mappings"),
        ({"tables": {"NAME": {"rows": ["trades"]}}}, "rows is no list of mappings"),
        ({"tables": {"NAME": {"rows": [{"method": ["trades"]}]}}}, "unknown method"),
        ({"tables": {"NAME": 1}}, "is no mapping"),
        ({"shared": 1}, "shared is no mapping"),
        ({"allow": ["x"]}, "allow"),
        ([1], "notes.yaml: a sheet is a mapping"),
    ],
)
def test_notes_that_say_otherwise_or_nothing_known_are_refused(
    content: Any, said: str, results: Path
) -> None:
    (name,) = sheet(results).tables
    if isinstance(content, dict) and "NAME" in content.get("tables", {}):
        content["tables"] = {name: content["tables"]["NAME"]}
    note(results, content)
    with pytest.raises(UserError, match=said) as error:
        sheet(results)
    assert "\n" not in str(error.value)
