from __future__ import annotations

import pytest
from support.figures import drawn, least_size, overlaps, pictures_of
from support.histories import planted_history
from support.rankings import PASSES, method_of, write_ranking
from support.synthetic import make_spec, write_run

from regmix_bench.records.schema import Cost
from regmix_bench.reporting.figures.gallery import rendered
from regmix_bench.reporting.figures.svg import svg
from regmix_bench.reporting.figures.venues import PLAIN, style_for

NARROW = style_for(width="3.25in")


@pytest.fixture(scope="module", params=[5, 13, 25])
def pareto(request, tmp_path_factory):
    results = write_ranking(tmp_path_factory.mktemp("pareto"), request.param)
    (picture,) = pictures_of("pareto", results)
    return picture


@pytest.mark.parametrize("style", [NARROW, PLAIN], ids=["narrow", "default"])
def test_no_text_is_small_or_on_another(pareto, style):
    assert overlaps(drawn(pareto, style)) == []
    assert least_size(rendered(pareto, style)[".pdf"]) >= 7


def test_rows_on_the_line_and_the_reference_are_named(pareto):
    frame = pareto.frame
    said = [text.get_text() for text in drawn(pareto, NARROW).axes[0].texts]
    for label in frame.loc[frame["front"] | frame["reference"], "label"]:
        name = pareto.looks[label].name
        assert any(words.startswith(name[:10]) for words in said), name


def test_nothing_lies_above_the_line_that_costs_as_much_or_less(pareto):
    rows = pareto.frame.to_dict("records")
    for row in rows:
        cheaper = [o for o in rows if o["passes"] <= row["passes"] and o is not row]
        beaten = any(
            o["mean"] > row["mean"] or (o["mean"] == row["mean"] and o["passes"] < row["passes"])
            for o in cheaper
        )
        assert row["front"] == (not beaten)
    assert {row["label"]: row["passes"] for row in rows}.items() >= {
        label: passes for label, passes in PASSES.items() if label in set(pareto.frame["label"])
    }.items()


def planted(results, label, held, passes, seed=0):
    cost = Cost(seconds=1, forward_images=1000, backward_images=1000 * (passes - 1))
    changes = {"n_train": 1000, "training_cost": cost, "reference": "pgd-at"}
    changes["history"] = planted_history([0.5])
    write_run(
        results, make_spec(label, method=method_of(label), seed=seed), autoattack=held, **changes
    )


def test_the_line_goes_level_and_then_up_and_the_caption_has_its_numbers(tmp_path):
    for label, held, passes in (
        ("pgd-at", 252, 22),
        ("trades", 234, 25),
        ("regmix", 216, 7),
        ("fgsm-rs", 180, 4),
    ):
        planted(tmp_path, label, held, passes)
    (picture,) = pictures_of("pareto", tmp_path)
    assert (
        "costs as much or less: FGSM-RS (4 passes, 50.0 %), RegMix (7 passes, 60.0 %) and PGD-AT"
        " (22 passes, 70.0 %). The reference is PGD-AT (22 passes, 70.0 %)."
    ) in picture.caption
    assert picture.caption.startswith("3 of 4 rows are on the line")
    (axis,) = drawn(picture).axes
    line = [tuple(map(float, corner)) for corner in axis.lines[0].get_xydata()]
    assert line[:-1] == [(4, 50), (7, 50), (7, 60), (22, 60), (22, 70)]
    assert line[-1] == (axis.get_xlim()[1], 70) and axis.get_xscale() == "log"
    assert {text.get_text() for text in axis.texts} == {"PGD-AT", "TRADES", "RegMix", "FGSM-RS"}


def test_rows_of_one_cost_stand_side_by_side(tmp_path):
    for label in ("pgd-at", "trades", "regmix"):
        planted(tmp_path, label, 200, 7)
    planted(tmp_path, "mart", 210, 20)
    (picture,) = pictures_of("pareto", tmp_path)
    marks = [line for line in drawn(picture).axes[0].lines if line.get_gid()]
    places = sorted(float(mark.get_xdata()[0]) for mark in marks)
    assert (
        len(set(places)) == 4 and places[2] < 8 and places[0] > 6 and places[1] == pytest.approx(7)
    )


@pytest.mark.parametrize("passes", [7, 0])
def test_where_all_cost_the_same_or_cost_is_unknown_there_is_no_picture(tmp_path, passes):
    for label in ("pgd-at", "trades"):
        if passes:
            planted(tmp_path, label, 200, passes)
        else:
            write_run(tmp_path, make_spec(label))
    assert pictures_of("pareto", tmp_path) == []


def test_the_same_numbers_give_the_same_bytes_and_hostile_names_stay_text(tmp_path):
    harm = "<script>alert(1)</script> $x^2$ \\input{x} & %"
    planted(tmp_path, "pgd-at", 200, 22)
    planted(tmp_path, harm, 220, 7)
    (picture,) = pictures_of("pareto", tmp_path)
    assert rendered(picture, NARROW) == rendered(picture, NARROW)
    text = svg(picture)
    assert text == svg(picture) and "<script" not in text and "&lt;script" in text
    assert overlaps(drawn(picture, NARROW)) == []
