from __future__ import annotations

import pytest
from support.figures import drawn, pictures_of
from support.synthetic import make_spec, write_run

from regmix_bench.records import store
from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.robustness import RobustnessVsEpsilon
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel

BUDGETS = ("8/255", "16/255", "24/255", "32/255")


def score_by_pgd(path, budgets=BUDGETS):
    """Have PGD alone score a run at further budgets, where it holds half of the images."""
    record = store.load_record(path)
    (score,) = record.evaluations
    changes = {"pgd_acc": 0.5, "autoattack_acc": None, "outcomes_digest": None}
    more = [ThreatModel("Linf", text) for text in budgets if text != "32/255"]
    alone = (score.model_copy(update={"threat": threat, **changes}) for threat in more)
    store.save_record(path.parents[2], record.model_copy(update={"evaluations": (score, *alone)}))


def test_a_screened_accuracy_is_drawn_under_its_own_name(tmp_path):
    threats = tuple(ThreatModel("Linf", text) for text in BUDGETS)
    score = {"autoattack_acc": None, "screened_acc": 300 / 360}
    spec = make_spec(scoring=Scoring(screen=True), eval_threats=threats)
    write_run(tmp_path, spec, scored=score)
    (picture,) = pictures_of("robustness-vs-epsilon", tmp_path)
    assert "PGD → AutoAttack accuracy" in picture.caption
    assert picture.frame.set_index("eval_epsilon")["mean"].to_dict() == pytest.approx(
        {"0": 340 / 360} | dict.fromkeys(BUDGETS, 300 / 360)
    )
    assert drawn(picture).axes[0].get_ylabel() == "PGD → AutoAttack accuracy (%)"


def test_budgets_that_pgd_alone_was_asked_at_are_drawn_as_pgd_and_no_line_through_two(tmp_path):
    for label in ("trades", "regmix"):
        pgd_threats = tuple(ThreatModel("Linf", text) for text in BUDGETS[:3])
        score_by_pgd(write_run(tmp_path, make_spec(label, pgd_threats=pgd_threats)))
    (picture,) = pictures_of("robustness-vs-epsilon", tmp_path)
    means = picture.frame[picture.frame["label"] == "regmix"].set_index(["attack", "eval_epsilon"])
    assert means["mean"].to_dict() == pytest.approx(
        {("PGD-20", "0"): 340 / 360, ("PGD-20", "32/255"): 310 / 360}
        | {("PGD-20", epsilon): 0.5 for epsilon in BUDGETS[:3]}
    )
    (axis,) = drawn(picture).axes
    assert axis.get_title() == "trained under L∞ 32/255"
    assert axis.get_ylabel() == "PGD-20 accuracy (%)"
    (trades, regmix) = axis.lines[:2]
    assert trades.get_xdata() == pytest.approx([0, 8, 16, 24, 32])  # each at its ε
    assert regmix.get_xdata() == pytest.approx([0, 8, 16, 24, 32])


def test_fewer_than_four_budgets_are_no_curve_and_it_is_said(tmp_path):
    for count in (1, 3):
        results = tmp_path / str(count)
        threats = tuple(ThreatModel("Linf", text) for text in BUDGETS[:count])
        write_run(results, make_spec(eval_threats=threats))
        contents = Contents.of(results)
        assert list(RobustnessVsEpsilon.of(contents)) == []
        (line,) = RobustnessVsEpsilon.missing(contents)
        assert line.startswith("Curves over ε need 4 budgets") and f"are {count} of digits" in line
