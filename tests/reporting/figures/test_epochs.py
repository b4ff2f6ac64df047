from __future__ import annotations

import pytest
from support.figures import drawn, least_size, overlaps, pictures_of
from support.histories import planted_history as planted
from support.rankings import write_ranking

from regmix_bench.reporting.figures.gallery import rendered
from regmix_bench.reporting.figures.svg import svg
from regmix_bench.reporting.figures.venues import PLAIN, style_for

NARROW = style_for(width="3.25in")
STEADY = planted([0.3, 0.5, 0.6, 0.6])


@pytest.fixture(scope="module", params=[5, 13, 25])
def epochs(request, tmp_path_factory):
    results = write_ranking(tmp_path_factory.mktemp("epochs"), request.param)
    (picture,) = pictures_of("epochs", results)
    return picture


@pytest.mark.parametrize("style", [NARROW, PLAIN], ids=["narrow", "default"])
def test_no_text_is_small_or_on_another(epochs, style):
    assert overlaps(drawn(epochs, style)) == []
    assert least_size(rendered(epochs, style)[".pdf"]) >= 7


def test_of_many_rows_most_are_grey_and_unnamed(epochs):
    named = {text.get_text() for text in drawn(epochs).axes[0].texts}
    loud = {look.name for look in epochs.looks.values() if not look.quiet}
    assert named <= loud and len(named) <= 6
    assert "PGD-AT" in named


def test_lines_are_means_and_bands_reach_from_the_least_to_the_largest_seed(record, save):
    histories = (planted([0.3, 0.5, 0.7]), planted([0.3, 0.6, 0.8]))
    results = save(*(record("pgd-at", seed=k, history=h) for k, h in enumerate(histories)))
    (picture,) = pictures_of("epochs", results)
    frame = picture.frame.set_index("epoch")
    assert frame.loc[3, ["mean", "low", "high", "seeds"]].tolist() == [0.75, 0.7, 0.8, 2]
    assert frame["selected"].tolist() == [0, 0, 2]
    assert picture.caption.startswith("PGD-AT has the most after the last epoch, 75.0 % of")
    assert "the least" not in picture.caption
    assert "Nothing overfits" in picture.caption
    (axis,) = drawn(picture).axes
    line, circle = axis.lines
    assert line.get_ydata().tolist() == pytest.approx([30, 55, 75])
    assert circle.get_xydata().tolist() == [[3, 75]] and circle.get_marker() == "o"


def test_onsets_are_marked_and_counted(record, save):
    sudden = planted([0.5, 0.6, 0.1, 0.1], fgsm=[0.5, 0.6, 0.9, 0.9])
    falling = planted([0.5, 0.8, 0.6, 0.4])
    results = save(
        record("fgsm-rs", seed=0, history=sudden),
        record("fgsm-rs", seed=1, history=STEADY),
        record("trades", history=falling),
        record("pgd-at", history=STEADY),
    )
    (picture,) = pictures_of("epochs", results)
    assert "above PGD-10: FGSM-RS in 1 of 2 seeds." in picture.caption
    assert "fall significantly after: TRADES in 1 of 1 seeds." in picture.caption
    frame = picture.frame.set_index(["label", "epoch"])
    assert frame.loc[("fgsm-rs", 3), "catastrophic"] == 1 and frame["catastrophic"].sum() == 1
    assert frame.loc[("trades", 2), "falling"] == 1 and frame["falling"].sum() == 1
    marks = {line.get_marker(): line.get_xydata().tolist() for line in drawn(picture).axes[0].lines}
    assert marks["x"] == [[3, pytest.approx(35)]] and marks["v"] == [[2, 80]]


def test_axes_fit_and_a_line_below_them_is_named(record, save):
    results = save(
        *(
            record(name, history=planted([0.1, 0.6, 0.62, 0.61, 0.64]))
            for name in ("pgd-at", "trades")
        ),
        *(
            record(name, history=planted([0.1, 0.6, 0.62, 0.61, 0.63]))
            for name in ("mart", "fgsm-rs")
        ),
        record("standard", history=planted([0.0] * 5)),
    )
    (picture,) = pictures_of("epochs", results)
    low, high = drawn(picture).axes[0].get_ylim()
    assert 55 < low < 60 and 64 < high < 70
    assert picture.caption.endswith("Beyond the axis at the end: Standard.")
    assert "Standard" not in {text.get_text() for text in drawn(picture).axes[0].texts}


def test_without_histories_there_is_no_picture(record, save):
    assert pictures_of("epochs", save(record("pgd-at", history=()))) == []


def test_the_same_numbers_give_the_same_bytes_and_hostile_names_stay_text(record, save):
    harm = "<script>alert(1)</script> $x^2$ \\input{x} & %"
    results = save(record("pgd-at", history=STEADY), record(harm, history=STEADY))
    (picture,) = pictures_of("epochs", results)
    assert rendered(picture, NARROW) == rendered(picture, NARROW)
    text = svg(picture)
    assert text == svg(picture) and "<script" not in text and "&lt;script" in text
    assert overlaps(drawn(picture, NARROW)) == []
