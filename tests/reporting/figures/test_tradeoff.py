from __future__ import annotations

import numpy as np
import pytest
from support.figures import drawn, pictures_of
from support.synthetic import make_spec, write_run

from regmix_bench.analysis.statistics import t_interval, wilson_interval
from regmix_bench.reporting.figures.gallery import rendered
from regmix_bench.specs import Scoring
from regmix_bench.types import ThreatModel


def picture_of(results):
    found = pictures_of("tradeoff", results)
    return found[0] if found else None


def test_intervals_are_over_seeds_or_of_one_seed_over_images(tmp_path):
    for seed, right in enumerate((290, 300, 306)):
        write_run(tmp_path, make_spec("trades", seed=seed), autoattack=right)
    write_run(tmp_path, make_spec("mart"), clean=330, autoattack=280)
    picture = picture_of(tmp_path)
    rows = picture.frame.set_index("label")
    shares = [290 / 360, 300 / 360, 306 / 360]
    assert tuple(rows.loc["trades", ["robust_low", "robust_high"]]) == pytest.approx(
        t_interval(shares)
    )
    assert tuple(rows.loc["mart", ["clean_low", "clean_high"]]) == pytest.approx(
        wilson_interval(330, 360)
    )
    assert "over images (Wilson) where there is one seed" in picture.caption
    (axis,) = drawn(picture).axes
    assert [text.get_text() for text in axis.texts] == ["TRADES", "MART (β = 6)"]


def test_a_method_far_from_the_others_stands_at_the_rim_with_its_numbers(tmp_path):
    for label, right in {"standard": 18, "trades": 290, "mart": 295, "regmix": 300}.items():
        write_run(tmp_path, make_spec(label), autoattack=right)
    (axis,) = drawn(picture_of(tmp_path)).axes
    assert axis.get_xlabel() == "clean accuracy (%)\nstandard at 94.4, 5.0"
    bottom, top = axis.get_ylim()
    assert bottom > 50 and top < 100
    places = np.array([line.get_xydata()[0] for line in axis.lines if line.get_marker() != "None"])
    assert places[0, 1] == pytest.approx(bottom)
    assert places[1:, 1] == pytest.approx([29000 / 360, 29500 / 360, 30000 / 360])


def test_a_method_apart_stays_where_the_axes_need_hardly_be_wider_for_it(tmp_path):
    rights = {"trades": (115, 44), "mart": (85, 51), "pgd-at": (95, 58), "regmix": (88, 50)}
    for label, (clean, robust) in rights.items():
        write_run(tmp_path, make_spec(label), n=250, clean=clean, pgd=70, autoattack=robust)
    (axis,) = drawn(picture_of(tmp_path)).axes
    assert axis.get_xlabel() == "clean accuracy (%)"
    assert axis.get_xlim()[1] > 46 + 4  # with its interval


def test_two_methods_are_never_far_from_each_other(tmp_path):
    write_run(tmp_path, make_spec("standard"), autoattack=18)
    write_run(tmp_path, make_spec("trades"), autoattack=300)
    (axis,) = drawn(picture_of(tmp_path)).axes
    assert axis.get_xlabel() == "clean accuracy (%)"


def test_a_threat_trained_under_is_preferred_and_another_is_named(tmp_path):
    both = (ThreatModel("Linf", "16/255"), ThreatModel("Linf", "32/255"))
    write_run(tmp_path, make_spec("trades", eval_threats=both))
    write_run(tmp_path, make_spec("trades", "8/255", eval_threats=both))
    picture = picture_of(tmp_path)
    assert picture.frame["eval_epsilon"].tolist() == ["16/255", "32/255"]
    titles = [axis.get_title() for axis in drawn(picture).axes]
    assert titles == [
        "trained under L∞ 8/255,\nattacked under L∞ 16/255",
        "trained under L∞ 32/255",
    ]


def test_screened_scores_are_named_and_no_score_is_no_picture(tmp_path):
    write_run(tmp_path / "none", make_spec(), scored={"autoattack_acc": None}, outcomes=False)
    assert picture_of(tmp_path / "none") is None
    score = {"autoattack_acc": None, "screened_acc": 300 / 360}
    write_run(tmp_path / "some", make_spec(scoring=Scoring(screen=True)), scored=score)
    picture = picture_of(tmp_path / "some")
    assert "Clean against PGD → AutoAttack accuracy" in picture.caption
    assert set(rendered(picture)) == {".png", ".pdf"}


def test_a_far_method_that_others_intervals_reach_is_drawn_in_its_place(tmp_path):
    for seed, right in enumerate((260, 300)):
        write_run(tmp_path, make_spec("mart", seed=seed), autoattack=right)
    for label, right in {"trades": 281, "regmix": 282, "standard": 250}.items():
        write_run(tmp_path, make_spec(label), autoattack=right)
    (axis,) = drawn(picture_of(tmp_path)).axes
    assert axis.get_xlabel() == "clean accuracy (%)"
    places = np.concatenate([line.get_ydata() for line in axis.lines])
    assert np.isclose(places, 25000 / 360).any()


def test_no_scale_goes_on_far_beyond_what_an_accuracy_can_be(tmp_path):
    for seed in range(3):
        write_run(tmp_path, make_spec("standard", seed=seed), clean=360, pgd=0, autoattack=0)
        write_run(tmp_path, make_spec("trades", seed=seed), clean=360, pgd=0, autoattack=1)
    (axis,) = drawn(picture_of(tmp_path)).axes
    assert axis.get_xlim()[1] <= 100.5 and axis.get_ylim()[0] >= -0.5
    for low, high in (axis.get_xlim(), axis.get_ylim()):
        assert high - low >= 4
