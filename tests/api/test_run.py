"""``run`` from Python: the runs of the command, and its records as values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.harness import SUITE, cli

from regmix_bench import RunRecord, UserError, run
from regmix_bench.api.run import Plan
from regmix_bench.records import store
from regmix_bench.records.sequence import Records
from regmix_bench.runs.observers import Ending, Silent

SETTINGS = tuple(f"recipe.{key}={value}" for key, value in SUITE["recipe"].items())
QUICK: dict[str, Any] = {
    "methods": ["fgsm-rs", "standard"],
    "eps": "32/255",
    "eval_eps": ["96/255"],
    "eval_examples": 20,
    "attacks": "apgd-ce",
    "settings": (*SETTINGS, "data.train_examples=100", "scoring.autoattack_batch_size=8"),
    "device": "cpu",
}


class Heard(Silent):
    """Remembers what is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_plan(self, states: Any, waiting: int) -> None:
        self.told.append(("plan", sorted(states.values()), waiting))

    def on_start(self, spec: Any) -> None:
        self.told.append(("start", spec.label))

    def on_end(self, ending: Ending) -> None:
        self.told.append(("end", ending.spec.label, ending.error))


def test_python_and_the_command_plan_the_same_runs(tmp_path: Path) -> None:
    found = run(methods="trades,regmix", eps="8/255", seeds=7, dry_run=True, results=tmp_path / "r")
    assert isinstance(found, Plan)
    ids = [cell.run_id for cell in found.cells]
    assert ids == ["ab4b23ee7f75", "2442e20e77b3"] == [spec.run_id for spec in found.specs]
    shown = cli(
        *("run", "--methods", "trades,regmix", "--eps", "8/255", "--seeds", "7", "--dry-run"),
        *("--results", tmp_path / "r"),
    )
    assert [line.split()[-1] for line in shown.out.splitlines()[1:]] == ids
    assert not (tmp_path / "r").exists()


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Records, list[Any]]:
    """A grid of two runs: its folder, what was returned, and what was heard."""
    results, heard = tmp_path_factory.mktemp("grid") / "results", Heard()
    found = run(**QUICK, results=str(results), observer=heard)
    assert isinstance(found, Records)
    return results, found, heard.told


def test_a_grid_returns_its_records(grid: tuple[Path, Records, list[Any]]) -> None:
    results, found, told = grid
    assert [record.spec.label for record in found] == ["fgsm-rs", "standard"]
    assert all(record.status == "success" for record in found)
    assert found[-1] == store.load_run(found.paths[1]) and list(found[:1]) == [found[0]]
    assert {path.resolve() for path in found.paths} == set(store.record_files(results))
    assert told == [
        ("plan", ["to run", "to run"], 2),
        *(("start", "fgsm-rs"), ("end", "fgsm-rs", None)),
        *(("start", "standard"), ("end", "standard", None)),
    ]


def test_a_finished_grid_is_only_read(grid: tuple[Path, Records, list[Any]]) -> None:
    results, found, _ = grid
    heard = Heard()
    again = run(**QUICK, results=results, observer=heard)
    assert isinstance(again, Records) and list(again) == list(found)
    assert heard.told == [("plan", ["done", "done"], 0)]


def test_a_specification_is_one_run(grid: tuple[Path, Records, list[Any]], tmp_path: Path) -> None:
    _, found, _ = grid
    spec, heard = found[1].spec, Heard()
    record = run(spec, results=tmp_path, device="cpu", observer=heard)
    assert isinstance(record, RunRecord)
    assert record.run_id == found[1].run_id
    assert record.evaluations == found[1].evaluations
    assert heard.told == [("start", "standard"), ("end", "standard", None)]
    for options in ({"methods": "trades"}, {"settings": ["recipe.lr=1"]}, {"dry_run": True}):
        with pytest.raises(UserError, match="says all of its run"):
            run(spec, results=tmp_path, **options)
