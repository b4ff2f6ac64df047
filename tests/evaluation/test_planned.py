"""The passes that a scoring is expected to take, beside those that it took."""

from __future__ import annotations

import pytest
from support.synthetic import make_spec

from regmix_bench.evaluation.planned import planned_scoring
from regmix_bench.records.progress import Part, Progress, ProgressMeter
from regmix_bench.specs import Scoring
from regmix_bench.types import Checkpoint, ThreatModel


def test_autoattack_takes_about_what_recorded_runs_took() -> None:
    """Recorded, per image of `digits`: 8,200 passes at 98 % clean and 82 % robust accuracy."""
    spec = make_spec().model_copy(update={"scoring": Scoring()})
    asked: list[dict[Checkpoint, bool]] = [{"selected": True}, {"last": False}]
    parts = planned_scoring(spec, asked, 360, 10, clean=0.98, robust=0.82)
    assert sum(parts.values()) / 360 == pytest.approx(8_200, rel=0.1)
    attacks = [part.attack for part in parts if part.checkpoint == "last"]
    assert attacks == ["clean", "pgd"]


def test_the_same_weights_are_measured_once() -> None:
    spec = make_spec().model_copy(update={"scoring": Scoring()})
    both: dict[Checkpoint, bool] = {"selected": False, "last": True}
    parts = planned_scoring(spec, [both], 360, 10, diagnosed=True)
    under = str(spec.eval_threats[0])
    assert Part("selected", under, "pgd") in parts and Part("last", under, "pgd") not in parts
    assert Part("last", under, "square") in parts and Part("selected", under) in parts


def test_one_budget_in_two_norms_is_two_parts_and_told_with_its_norm() -> None:
    threats = (ThreatModel("Linf", "0.5"), ThreatModel("L2", "0.5"))
    spec = make_spec(eval_threats=threats).model_copy(update={"scoring": Scoring()})
    parts = planned_scoring(spec, [{"selected": True}], 360, 10)
    assert len(parts) == 2 * len({part.attack for part in parts})
    heard: list[Progress] = []
    for planned, expected in (
        (parts, "L2 0.5"),
        ({part: n for part, n in parts.items() if part.threat == "L2 0.5"}, "0.5"),
    ):
        meter = ProgressMeter(heard.append)
        meter.plan(planned)
        meter.begin(Part("selected", "L2 0.5", "pgd"), 360)
        assert heard[-1].threat == expected
