from __future__ import annotations

import pytest
from support.figures import drawn, least_size, overlaps, pictures_of
from support.rankings import write_ranking
from support.synthetic import make_spec, write_run

from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.figures.forest import VERDICTS, DifferenceForest
from regmix_bench.reporting.figures.gallery import rendered
from regmix_bench.reporting.figures.svg import svg
from regmix_bench.reporting.figures.venues import PLAIN, style_for

NARROW = style_for(width="3.25in")


@pytest.fixture(scope="module", params=[5, 13, 25])
def forest(request, tmp_path_factory):
    results = write_ranking(tmp_path_factory.mktemp("forest"), request.param)
    (picture,) = pictures_of("forest", results)
    return picture


@pytest.mark.parametrize(
    "style", [NARROW, PLAIN, style_for("neurips")], ids=["narrow", "default", "neurips"]
)
def test_no_text_is_small_or_on_another(forest, style):
    assert overlaps(drawn(forest, style)) == []
    assert least_size(rendered(forest, style)[".pdf"]) >= 7


def test_rows_are_in_the_order_of_differences_and_say_what_the_standings_do(tmp_path):
    contents = Contents.of(write_ranking(tmp_path, 5), across=("tricks",))
    (picture,) = DifferenceForest.of(contents)
    (standings,) = contents.standings.values()
    frame = picture.frame
    assert frame["difference"].is_monotonic_decreasing
    for row in frame[frame["verdict"] != "reference"].to_dict("records"):
        verdict = standings.verdicts[row["label"]]
        assert (row["low"], row["high"]) == verdict.interval
        assert (row["difference"], row["verdict"]) == (verdict.difference, verdict.relation)
    assert frame.set_index("label").loc["pgd-at", "verdict"] == "reference"
    assert frame.set_index("label").loc["standard", "verdict"] == "worse"

    (axis,) = drawn(picture).axes
    ticks = [tick.get_text() for tick in axis.get_yticklabels()]
    assert ticks == ["PGD-AT", "RegMix", "FGSM-UAP (patterns = class)", "Free-AT", "Standard"]
    worse, marker = VERDICTS["worse"]
    marks = {line.get_gid(): line for line in axis.lines if line.get_gid()}
    (standard,) = (line for words, line in marks.items() if words.startswith("tip:Standard: "))
    assert (standard.get_color(), standard.get_marker()) == (worse, marker)
    assert (
        all(text.get_text() for text in axis.texts) and axis.texts[0].get_text() == "0, reference"
    )


def test_the_caption_counts_the_verdicts_and_names_what_was_compared(tmp_path):
    (picture,) = pictures_of("forest", write_ranking(tmp_path, 5))
    for words in (
        "Against PGD-AT (",
        "digits, smallcnn, L∞ 32/255, three seeds",
        " %), of 4 rows ",
        " 2 are worse: AutoAttack accuracy less that of the reference is from ",
        " of Standard, in points; digits",
    ):
        assert words in picture.caption
    assert picture.protocol == "digits, smallcnn, L∞ 32/255, three seeds"


def test_a_row_that_lies_far_apart_is_an_arrow_and_named(tmp_path):
    (picture,) = pictures_of("forest", write_ranking(tmp_path, 13))
    assert picture.caption.endswith("an arrow points: Free-AT and Standard.")
    (axis,) = drawn(picture).axes
    low, high = axis.get_xlim()
    assert low > -20 and high < 20


@pytest.mark.parametrize(("seeds", "reference"), [(2, "pgd-at"), (3, None)])
def test_without_an_interval_there_is_no_picture(tmp_path, seeds, reference):
    for label in ("pgd-at", "trades"):
        for seed in range(seeds):
            write_run(tmp_path, make_spec(label, seed=seed), reference=reference)
    assert pictures_of("forest", tmp_path) == []


def test_chosen_rows_are_judged_among_all(tmp_path):
    chosen = ("regmix", "standard")
    contents = Contents.of(write_ranking(tmp_path, 5), across=("tricks",), methods=chosen)
    pictures = {p.stem: p for p in contents.gallery.pictures if p.name == "forest"}
    (picture,) = pictures.values()
    assert list(picture.frame["label"]) == ["regmix", "standard"]
    (standings,) = contents.standings.values()
    assert picture.frame["low"].iloc[0] == standings.verdicts["regmix"].interval[0]
    assert "Against PGD-AT, of 2 rows " in picture.caption
    assert rendered(picture)
    pair = Contents.of(contents.results, across=("tricks",), methods=["standard"])
    (picture,) = (p for p in pair.gallery.pictures if p.name == "forest")
    assert picture.caption.startswith("Against PGD-AT, the one other row is worse: AutoAttack")


def test_the_same_numbers_give_the_same_bytes_and_hostile_names_stay_text(tmp_path):
    harm = "<script>alert(1)</script> $x^2$ \\input{x} & %"
    results = write_ranking(tmp_path, 3)
    for seed in range(3):
        write_run(results, make_spec(harm, seed=seed), reference="pgd-at")
    (picture,) = pictures_of("forest", results)
    assert rendered(picture, NARROW) == rendered(picture, NARROW)
    text = svg(picture)
    assert text == svg(picture) and "<script" not in text and "&lt;script" in text
    assert overlaps(drawn(picture, NARROW)) == []
