"""The passes that a scoring is expected to take, beside those that it took."""

from __future__ import annotations

import pytest
from support.synthetic import make_spec

from regmix_bench.evaluation.planned import planned_scoring
from regmix_bench.records.progress import Part
from regmix_bench.specs import Scoring
from regmix_bench.types import Checkpoint


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
    epsilon = str(spec.eval_threats[0].epsilon)
    assert Part("selected", epsilon, "pgd") in parts and Part("last", epsilon, "pgd") not in parts
    assert Part("last", epsilon, "square") in parts and Part("selected", epsilon) in parts
