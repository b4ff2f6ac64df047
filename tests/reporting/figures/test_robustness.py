from __future__ import annotations

import pytest
from support.figures import drawn, pictures_of
from support.synthetic import make_spec, write_run

from regmix_bench.records import store
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel


def test_a_screened_accuracy_is_drawn_under_its_own_name(tmp_path):
    score = {"autoattack_acc": None, "screened_acc": 300 / 360}
    write_run(tmp_path, make_spec(scoring=Scoring(screen=True)), scored=score)
    (picture,) = pictures_of("robustness-vs-epsilon", tmp_path)
    assert picture.caption.startswith("PGD → AutoAttack accuracy")
    assert picture.frame.set_index("eval_epsilon")["mean"].to_dict() == pytest.approx(
        {"0": 340 / 360, "32/255": 300 / 360}
    )
    assert drawn(picture).axes[0].get_ylabel() == "PGD → AutoAttack accuracy (%)"


def test_budgets_that_pgd_alone_was_asked_at_are_drawn_as_pgd(tmp_path):
    more = ThreatModel("Linf", "48/255")
    for label in ("trades", "regmix"):
        path = write_run(tmp_path, make_spec(label, pgd_threats=(more,)))
        record = store.load_record(path)
        (score,) = record.evaluations
        alone = {"threat": more, "pgd_acc": 0.5, "autoattack_acc": None, "outcomes_digest": None}
        both = (score, score.model_copy(update=alone))
        store.save_record(tmp_path, record.model_copy(update={"evaluations": both}))
    (picture,) = pictures_of("robustness-vs-epsilon", tmp_path)
    means = picture.frame[picture.frame["label"] == "regmix"].set_index(["attack", "eval_epsilon"])
    assert means["mean"].to_dict() == pytest.approx(
        {
            ("AutoAttack", "0"): 340 / 360,
            ("AutoAttack", "32/255"): 300 / 360,
            ("PGD-20", "0"): 340 / 360,
            ("PGD-20", "32/255"): 310 / 360,
            ("PGD-20", "48/255"): 0.5,
        }
    )
    axes = drawn(picture).axes
    titles = [axis.get_title().split("attacked by ")[1] for axis in axes]
    assert titles == ["AutoAttack", "PGD-20"]
    assert [axis.get_ylabel() for axis in axes] == ["accuracy (%)", ""]
    assert picture.caption.startswith("AutoAttack and PGD-20 accuracy")
