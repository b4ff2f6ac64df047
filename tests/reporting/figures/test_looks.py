from __future__ import annotations

from pathlib import Path

import pytest
from support.synthetic import make_record, make_spec

from regmix_bench.analysis.cohorts import Group, Run
from regmix_bench.analysis.standings import AgainstReference, Standing, Standings
from regmix_bench.reporting.figures.looks import MOST_COLOURED, Look, emphasised, looks, luminance


def group(label, **changes):
    run = Run(Path(f"{label}.json"), make_record(make_spec(label, **changes)))
    return Group(label, (run,))


def test_a_variant_looks_the_same_whatever_others_there_are():
    plain, one, three, four = (
        group("fgsm-pgi" + end) for end in ("", "[lambda_=1]", "[lambda_=3]", "[lambda_=4]")
    )
    alone = looks([three])["fgsm-pgi[lambda_=3]"]
    crowd = looks([plain, one, three, four])
    assert crowd["fgsm-pgi[lambda_=3]"] == alone
    assert len({(look.colour, look.marker) for look in crowd.values()}) == 1
    assert len({(look.line, look.fill) for look in crowd.values()}) == 4
    assert (crowd["fgsm-pgi"].line, crowd["fgsm-pgi"].fill) == ("-", "full")


def standings(relations):
    """Rows r0, r1 … that differ from the reference by so many points, and how."""
    rows = [Standing("reference", None, None, 6, None, None)]
    for place, (relation, difference) in enumerate(relations):
        verdict = AgainstReference(6, difference, None, None, relation)
        rows.append(Standing(f"r{place}", None, None, 6, verdict, None))
    return Standings("reference", tuple(rows))


def shown(relations, featured=None):
    found = standings(relations)
    labels = [row.label for row in found.rows]
    table = {
        label: Look(label, "#0072B2", "o", "-", featured=label == featured) for label in labels
    }
    return {k for k, look in emphasised(table, labels, found).items() if not look.quiet}


def test_of_many_rows_the_reference_and_significant_ones_keep_their_colours():
    alike = ("not distinguishable", 0.01)
    assert len(shown([alike] * (MOST_COLOURED - 1))) == MOST_COLOURED
    assert shown([alike] * 9) == {"reference"}
    assert shown([alike] * 9 + [("worse", -0.2), ("better", 0.1)]) == {"reference", "r9", "r10"}


def test_better_rows_come_before_worse_ones_and_no_more_than_six_are_coloured():
    worse = [("worse", -0.01 * k) for k in range(1, 9)]
    found = shown([*worse, ("better", 0.001)])
    assert found == {"reference", "r8", "r7", "r6", "r5", "r4"}


def test_what_is_featured_keeps_its_colour_with_the_reference():
    alike = [("not distinguishable", 0.01)] * 9
    worse = [("worse", -0.1)] * 9
    assert shown(alike, featured="r3") == {"reference", "r3"}
    assert {"reference", "r3"} < shown([*alike, *worse], featured="r3")
    assert len(shown([*alike, *worse], featured="r3")) == MOST_COLOURED


def test_without_verdicts_all_keep_their_colours():
    table = {str(k): Look(str(k), "#0072B2", "o", "-") for k in range(20)}
    assert emphasised(table, table, None) == table


@pytest.mark.parametrize("colour", ["#56B4E9", "#000000", "#949494", "#ffff00"])
def test_a_name_in_a_row_s_colour_can_be_read_on_white(colour):
    ink = Look("", colour, "o", "-").ink
    parts = [int(ink[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    assert 1.05 / (luminance(parts) + 0.05) >= 4.5
