from __future__ import annotations

import pytest
from support.figures import drawn, least_size, overlaps, pictures_of
from support.rankings import LABELS, method_of
from support.synthetic import make_spec, write_run

from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.gallery import rendered
from regmix_bench.reporting.figures.svg import svg
from regmix_bench.reporting.figures.venues import PLAIN, style_for
from regmix_bench.reporting.formats.page import page

NARROW = style_for(width="3.25in")


def planted(results, labels, comparisons, *, swap=()):
    """Save one seed of each label in comparisons of other ε, where the first label is best."""
    for number in range(comparisons):
        for place, label in enumerate(labels):
            held = 300 - 5 * number - 9 * (place ^ 1 if number in swap else place)
            spec = make_spec(label, f"{number + 2}/255", method=method_of(label))
            write_run(results, spec, autoattack=held, reference="pgd-at")
    return results


@pytest.fixture(scope="module", params=[5, 13, 25])
def ranking(request, tmp_path_factory):
    results = tmp_path_factory.mktemp("ranking")
    (picture,) = pictures_of("critical-difference", planted(results, LABELS[: request.param], 6))
    return picture


@pytest.mark.parametrize("style", [NARROW, PLAIN], ids=["narrow", "default"])
def test_no_text_is_small_or_on_another(ranking, style):
    assert overlaps(drawn(ranking, style)) == []
    assert least_size(rendered(ranking, style)[".pdf"]) >= 7


def test_of_many_methods_those_are_grey_that_do_not_differ_from_the_reference(ranking):
    looks, ranks = ranking.looks, ranking.ranks
    if len(looks) <= 6:
        assert not any(look.quiet for look in looks.values())
        return
    loud = [label for label, look in looks.items() if not look.quiet]
    assert loud[0] == "pgd-at" and len(loud) <= 6
    assert "regmix" in loud
    assert all(ranks.differ("pgd-at", label) for label in loud[1:] if label != "regmix")


def test_names_have_their_ranks_and_bars_join_what_does_not_differ(tmp_path):
    labels = ("pgd-at", "trades", "mart", "regmix", "fgsm-rs")
    (picture,) = pictures_of("critical-difference", planted(tmp_path, labels, 8, swap=(0, 1)))
    frame = picture.frame.drop_duplicates("label").set_index("label")
    assert frame["mean_rank"].to_dict() == {
        "pgd-at": 1.25,
        "trades": 1.75,
        "mart": 3.25,
        "regmix": 3.75,
        "fgsm-rs": 5.0,
    }
    assert picture.frame.groupby("label")["rank"].mean().to_dict() == frame["mean_rank"].to_dict()
    critical = frame["critical_difference"].iloc[0]
    assert critical == pytest.approx(2.728 * (5 * 6 / (6 * 8)) ** 0.5, rel=1e-3)
    assert picture.ranks.groups == (
        ("pgd-at", "trades", "mart"),
        ("trades", "mart", "regmix"),
        (
            "mart",
            "regmix",
            "fgsm-rs",
        ),
    )
    (axis,) = drawn(picture).axes
    bars = [line for line in axis.lines if line.get_linewidth() > 2]
    assert len(bars) == len(picture.ranks.groups)
    said = {text.get_text() for text in axis.texts}
    assert {"PGD-AT 1.25", "FGSM-RS 5.00", "critical difference 2.16"} <= said
    for words in (
        "Mean ranks of 5 methods by robust accuracy over 8 comparisons (digits, smallcnn;",
        "from PGD-AT 1.25 to FGSM-RS 5.00.",
        "finds a difference (p < 0.01)",
        "at most 2.16 apart",
        "The comparisons are on 1 data set, and those on one are not independent",
    ):
        assert words in picture.caption


def test_where_friedman_s_test_finds_nothing_one_bar_joins_all(tmp_path):
    labels = ("pgd-at", "trades", "mart")
    for number, order in enumerate(("012", "120", "201") * 2):
        for place, label in zip(order, labels, strict=True):
            spec = make_spec(label, f"{number + 2}/255", method=method_of(label))
            write_run(tmp_path, spec, autoattack=200 + 10 * int(place))
    (picture,) = pictures_of("critical-difference", tmp_path)
    assert [len(group) for group in picture.ranks.groups] == [3]
    assert "finds no difference, so that a bar joins all (p = 1.00)." in picture.caption
    assert "Nemenyi" not in picture.caption


def test_of_too_few_comparisons_there_is_no_picture_and_the_page_says_so(tmp_path):
    results = planted(tmp_path, ("pgd-at", "trades", "mart"), 5)
    assert pictures_of("critical-difference", results) == []
    said = "Mean ranks need 6 comparisons that share 3 methods: of 5 comparisons no 6 do."
    text = page(Contents.of(results), with_figures=True)
    assert f"- {said}\n" in text.partition("## Figures that are not drawn")[2]


def test_comparisons_that_lack_methods_are_left_out_and_counted(tmp_path):
    planted(tmp_path, ("pgd-at", "trades", "mart"), 7)
    write_run(tmp_path, make_spec("trades", "60/255"))
    (picture,) = pictures_of("critical-difference", tmp_path)
    assert picture.caption.endswith("Left out, for lack of these methods: 1 comparison.")


def test_the_same_numbers_give_the_same_bytes_and_hostile_names_stay_text(tmp_path):
    harm = "<script>alert(1)</script> $x^2$ \\input{x} & %"
    planted(tmp_path, ("pgd-at", "trades", harm), 6)
    (picture,) = pictures_of("critical-difference", tmp_path)
    assert rendered(picture, NARROW) == rendered(picture, NARROW)
    text = svg(picture)
    assert text == svg(picture) and "<script" not in text and "&lt;script" in text
    assert overlaps(drawn(picture, NARROW)) == []
