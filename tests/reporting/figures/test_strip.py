from __future__ import annotations

import pytest
from support.figures import drawn, least_size, overlaps, pictures_of
from support.rankings import write_ranking
from support.synthetic import make_spec, write_run

from regmix_bench.reporting.figures.gallery import rendered
from regmix_bench.reporting.figures.svg import svg
from regmix_bench.reporting.figures.venues import PLAIN, style_for

NARROW = style_for(width="3.25in")


@pytest.fixture(scope="module", params=[5, 13, 25])
def strip(request, tmp_path_factory):
    results = write_ranking(tmp_path_factory.mktemp("strip"), request.param)
    (picture,) = pictures_of("strip", results)
    return picture


@pytest.mark.parametrize("style", [NARROW, PLAIN], ids=["narrow", "default"])
def test_no_text_is_small_or_on_another(strip, style):
    assert overlaps(drawn(strip, style)) == []
    assert least_size(rendered(strip, style)[".pdf"]) >= 7


def planted(results, **held):
    for label, counts in held.items():
        for seed, count in enumerate(counts):
            spec = make_spec(label.replace("_", "-"), seed=seed)
            write_run(results, spec, autoattack=count, reference="pgd-at")


def test_each_seed_is_a_dot_at_its_accuracy_and_the_caption_has_their_spread(tmp_path):
    planted(tmp_path, pgd_at=[180, 198], trades=[216, 216], mart=[252])
    (picture,) = pictures_of("strip", tmp_path)
    frame = picture.frame
    assert list(frame["label"]) == ["mart", "trades", "trades", "pgd-at", "pgd-at"]
    assert list(frame["accuracy"]) == [0.7, 0.6, 0.6, 0.5, 0.55]
    dots = {
        line.get_gid(): float(line.get_xdata()[0])
        for line in drawn(picture).axes[0].lines
        if line.get_gid()
    }
    assert dots["tip:pgd-at, seed 1: 55.0 %"] == pytest.approx(55)
    assert len(dots) == 5
    for words in (
        "digits, smallcnn, L∞ 32/255, one to two seeds",
        "lie 2.5 points of AutoAttack accuracy in the median of 2 rows, and at most 5.0, of pgd-at"
        " (50.0 to 55.0 %);",
        "single seed is Wilson's",
    ):
        assert words in picture.caption


@pytest.mark.parametrize("rows", [{"trades": [216, 217]}, {"trades": [216, 217], "mart": [252]}])
def test_one_row_or_two_have_the_height_of_a_figure(tmp_path, rows):
    planted(tmp_path, **rows)
    (picture,) = pictures_of("strip", tmp_path)
    figure = drawn(picture, NARROW)
    assert figure.get_figheight() > 1.5 and overlaps(figure) == []


def test_single_seeds_make_no_picture(tmp_path):
    planted(tmp_path, pgd_at=[180], trades=[216])
    assert pictures_of("strip", tmp_path) == []


def test_the_same_numbers_give_the_same_bytes_and_hostile_names_stay_text(tmp_path):
    harm = "<script>alert(1)</script> $x^2$ \\input{x} & %"
    planted(tmp_path, **{"pgd_at": [180, 181], harm: [200, 210]})
    (picture,) = pictures_of("strip", tmp_path)
    assert rendered(picture, NARROW) == rendered(picture, NARROW)
    text = svg(picture)
    assert text == svg(picture) and "<script" not in text and "&lt;script" in text
    assert overlaps(drawn(picture, NARROW)) == []
