"""The curve of given models over the budgets of one call."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.figures import drawn, least_size, overlaps, pictures_of
from support.synthetic import make_eval_spec, write_run

from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.gallery import rendered
from regmix_bench.reporting.figures.venues import style_for
from regmix_bench.types import ThreatModel

NORMS = (ThreatModel("Linf", "32/255"), ThreatModel("L1", "2"))
BUDGETS = tuple(ThreatModel("Linf", f"{n}/255") for n in (32, 8, 24, 16))


def test_the_budgets_of_one_model_are_a_curve_beside_its_table(tmp_path: Path) -> None:
    write_run(tmp_path, make_eval_spec(eval_threats=(*BUDGETS, NORMS[1])), checkpoint="given")
    contents = Contents.of(tmp_path)
    (picture,) = pictures_of("budgets", tmp_path)
    assert picture.beside == contents.threat_panels[0].stem
    assert picture.frame["epsilon"].tolist() == ["0", "8/255", "16/255", "24/255", "32/255"]
    record = next(iter(contents.records.values()))
    assert picture.frame["accuracy"].iloc[0] == record.evaluations[0].clean_acc
    assert picture.frame["accuracy"].iloc[1] == record.evaluations[0].robust_acc
    assert (picture.frame["low"] < picture.frame["accuracy"]).all()
    (axis,) = drawn(picture).axes
    assert axis.get_xlabel() == "ε of the attack (L∞, 1/255)"
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0", "8", "16", "24", "32"]


def test_few_budgets_are_no_curve(tmp_path: Path) -> None:
    write_run(tmp_path, make_eval_spec(eval_threats=BUDGETS[:3]), checkpoint="given")
    assert pictures_of("budgets", tmp_path) == []


@pytest.mark.parametrize("models", [5, 13])
def test_no_name_lies_on_another_and_none_is_small(tmp_path: Path, models: int) -> None:
    for place in range(models):
        spec = make_eval_spec(f"model {place}", eval_threats=BUDGETS)
        write_run(tmp_path, spec, checkpoint="given", autoattack=300 - place)
    (picture,) = pictures_of("budgets", tmp_path)
    style = style_for("icml")
    assert overlaps(drawn(picture, style)) == []
    assert least_size(rendered(picture, style)[".pdf"]) >= 7
