"""What is heard of the verbs that look at runs once more, while they work."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from regmix_bench import audit, evaluate, inspect
from regmix_bench.records import store
from regmix_bench.records.progress import Progress
from regmix_bench.runs.observers import Ending, Silent
from regmix_bench.specs import EvalSpec, RunSpec

KEPT = Path(__file__).parents[1] / "whole_run"


class Heard(Silent):
    """Keeps how far things are, and what begins and ends."""

    def __init__(self) -> None:
        self.progress: list[Progress] = []
        self.told: list[object] = []

    def on_plan(self, states: object, waiting: int) -> None:
        self.told.append(waiting)

    def on_start(self, spec: RunSpec | EvalSpec) -> None:
        self.told.append("start")

    def on_end(self, ending: Ending) -> None:
        self.told.append("end")

    def on_progress(self, spec: RunSpec | EvalSpec, progress: Progress) -> None:
        self.progress.append(progress)

    def stages(self) -> Iterator[tuple[Any, ...]]:
        """The stages, each with how manieth it is, and whether the shares only rise."""
        shares = [progress.share for progress in self.progress]
        assert shares == sorted(shares)
        for stage, _ in groupby(self.progress, lambda p: (p.attack or p.stage, p.part, p.parts)):
            yield stage


@pytest.fixture
def results(tmp_path: Path) -> Path:
    shutil.copytree(KEPT, tmp_path / "results")
    return tmp_path / "results"


def test_an_audit_tells_of_the_images_of_each_score(results: Path) -> None:
    (record,) = store.record_files(results)
    audit(str(record), results=results, device="cpu", observer=(heard := Heard()))
    assert list(heard.stages()) == [
        ("saved images", 1, 4),
        ("saved images", 2, 4),
        ("pgd-20", 3, 4),
        ("pgd-20", 4, 4),
    ]
    assert heard.told == ["start"]


def test_an_inspection_tells_of_each_run(results: Path) -> None:
    (record,) = store.record_files(results)
    heard = Heard()
    inspect([str(record)], results=results, device="cpu", force=True, observer=heard)
    assert list(heard.stages()) == [("views", 1, 1)]
    assert heard.told == [1, "start", "end"]


def test_a_diagnosis_that_is_asked_for_later_is_told_alone(results: Path) -> None:
    (record,) = store.record_files(results)
    asked: dict[str, Any] = {"eval_examples": 10, "attacks": "fgsm", "device": "cpu"}
    asked |= {"results": results, "threats": "8/255"}
    evaluate(str(record), **asked)
    found = evaluate(str(record), diagnose=True, observer=(heard := Heard()), **asked)
    assert found.record.evaluations[0].diagnoses
    assert list(heard.stages()) == [("diagnosis", 1, 1)]
