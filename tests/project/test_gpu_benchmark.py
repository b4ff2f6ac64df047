"""``benchmarks/gpu.py`` tries every row without a GPU, so that on one it only has to be called."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
ROWS = (
    *("steps", "product", "epoch", "autoattack", "smoke", "floor", "thousand", "flags"),
    *("jobs", "accuracy"),
)


@pytest.fixture(scope="module")
def gpu() -> Iterator[Any]:
    sys.path.insert(0, BENCHMARKS)  # whose scripts import each other
    before = set(sys.modules)
    try:
        import gpu

        yield gpu
    finally:
        sys.path.remove(BENCHMARKS)
        for name in set(sys.modules) - before:  # one is called as a package is
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(BENCHMARKS):
                del sys.modules[name]


@pytest.fixture(scope="module")
def bench(gpu: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return gpu.Bench(torch.device("cpu"), tmp_path_factory.mktemp("bench"), tiny=True)


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize("row", ROWS)
def test_every_row_can_be_measured(gpu: Any, bench: Any, row: str) -> None:
    assert set(ROWS) == set(gpu.ROWS)
    found, why_not = gpu.measure(bench, [row], minutes=1)
    assert why_not == {}
    assert set(found) == set(gpu.ROWS[row].goals) != set()
    assert all(math.isfinite(figure.value) and figure.note for figure in found.values())
    assert json.dumps(gpu.as_json(list(found), found, why_not))


def test_the_rows_measure_every_goal_once(gpu: Any) -> None:
    measured = [goal for row in gpu.ROWS.values() for goal in row.goals]
    assert sorted(measured) == sorted(gpu.GOALS)


def test_without_cuda_nothing_is_measured_and_commands_are_told(
    gpu: Any, no_cuda: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gpu.json"
    assert gpu.main(["--rows", "steps,flags", "--json", str(file)]) == 1
    printed = capsys.readouterr().out
    for command in ("gpu.py --rows steps --minutes 4", "gpu.py --rows flags --minutes 4"):
        assert command in printed
    rows = json.loads(file.read_text())["rows"]
    assert set(rows) == {*gpu.ROWS["steps"].goals, "flags"}
    assert all(row["value"] is None and "no CUDA" in row["why_not"] for row in rows.values())


def test_what_does_not_fit_into_the_minutes_is_said(gpu: Any, tmp_path: Path) -> None:
    bench = gpu.Bench(torch.device("cpu"), tmp_path, tiny=False)
    found, why_not = gpu.measure(bench, ["steps", "jobs"], minutes=0.1)
    assert found == {} and set(why_not) == {*gpu.ROWS["steps"].goals, *gpu.ROWS["jobs"].goals}
    assert "--rows jobs --minutes 6" in why_not["jobs-digits-2"]


def test_a_row_that_fails_costs_itself_alone(gpu: Any, bench: Any, monkeypatch: Any) -> None:
    def fails(bench: Any) -> Iterator[Any]:
        yield "smoke", gpu.Figure(1.0)
        raise RuntimeError("no\nmemory")

    row = gpu.Row(("smoke", "flags"), fails, 1)
    monkeypatch.setitem(gpu.ROWS, "smoke", row)
    found, why_not = gpu.measure(bench, ["smoke", "product"], minutes=1)
    assert set(found) == {"smoke", "product-128", "product-512"}
    assert why_not == {"flags": "RuntimeError: no memory"}


@pytest.mark.parametrize(
    ("goal", "value", "verdict"),
    [
        ("step-regmix", 5.0, "aim"),
        ("step-regmix", 3.6, "met"),
        ("step-regmix", 3.59, "MISSED"),
        ("wall", 300, "aim"),
        ("wall", 540, "met"),
        ("wall", 541, "MISSED"),
        ("flags", 0, "aim"),
        ("flags", 3, "MISSED"),
        ("jobs-digits-2", 0.5, ""),
    ],
)
def test_a_figure_is_held_against_its_limits(
    gpu: Any, goal: str, value: float, verdict: str
) -> None:
    assert gpu.GOALS[goal].verdict(value) == verdict


@pytest.mark.parametrize("rows", ["step", "steps,", "steps,smoke,nothing"])
def test_an_unknown_row_is_one_line(
    gpu: Any, rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main(["--rows", rows])
    assert "choose of steps, product" in capsys.readouterr().err
