from __future__ import annotations

import numpy as np
import pytest

from regmix_bench.analysis.blocks import Stat
from regmix_bench.analysis.pairs import compare_methods
from regmix_bench.analysis.standings import standings

IMAGES = 300


def flags(rng, hardness, ease=0.0, seeds=3):
    return ease + hardness + rng.normal(0, 0.5, (seeds, len(hardness))) > 0


def table(reference="c", seed=0, **seeds):
    """Four methods of falling quality, all of three seeds unless said otherwise."""
    rng = np.random.default_rng(seed)
    hardness = rng.normal(0, 1, IMAGES)
    rights = {
        label: flags(rng, hardness, ease, seeds.get(label, 3))
        for label, ease in {"a": 1.5, "b": 1.4, "c": 0.5, "d": -0.5}.items()
    }
    means = {label: Stat.of(map(float, f.mean(axis=1)), IMAGES) for label, f in rights.items()}
    return standings(means, rights, reference), rights


def test_rows_stand_by_their_means_and_carry_all_claims():
    found, rights = table()
    assert [(row.label, row.rank) for row in found.rows] == [("a", 1), ("b", 2), ("c", 3), ("d", 4)]
    assert found.reference == "c" and found.best == ("a", "b")
    relations = {label: verdict.relation for label, verdict in found.verdicts.items()}
    assert relations == {"a": "better", "b": "better", "d": "worse"}
    d = found.by_label["d"]
    assert d.verdict.difference == pytest.approx(rights["d"].mean() - rights["c"].mean())
    assert d.lead.difference == pytest.approx(rights["d"].mean() - rights["a"].mean())
    assert d.lead.interval[1] < 0 and not d.best
    assert found.by_label["a"].lead.difference == pytest.approx(
        -found.by_label["b"].lead.difference
    )


def test_verdict_interval_and_p_value_are_those_of_the_familys_pairs():
    found, rights = table()
    pairs = compare_methods(list(rights.values()))
    for place, label in ((0, "a"), (1, "b"), (3, "d")):
        verdict = found.verdicts[label]
        assert verdict.interval == tuple(ends[place, 2] for ends in pairs.intervals())
        assert verdict.p_value == pairs.p_values()[place, 2]


def test_without_a_reference_there_are_leads_alone():
    found, _ = table(None)
    assert not found.verdicts and found.best == ("a", "b")
    assert all(row.lead is not None for row in found.rows)


@pytest.mark.parametrize("few", [1, 2])
def test_a_row_of_few_seeds_is_in_order_and_in_nothing_else(few):
    found, _ = table(a=few)
    first = found.rows[0]
    assert (first.label, first.rank, first.seeds, first.lead, first.best) == (
        "a",
        1,
        few,
        None,
        False,
    )
    assert (first.verdict.relation, first.verdict.interval) == ("too few seeds", None)
    assert found.best == ("b",)
    alike, _ = table(a=few, d=few)
    assert alike.by_label["d"].verdict.relation == "too few seeds"


def test_a_reference_of_few_seeds_leaves_the_best_group():
    found, _ = table(c=2)
    assert {verdict.relation for verdict in found.verdicts.values()} == {"too few seeds"}
    assert found.best == ("a", "b") and found.by_label["c"].lead is None


def test_of_one_row_alone_or_of_few_seeds_everywhere_nothing_is_the_best():
    rng = np.random.default_rng(1)
    rights = {"a": flags(rng, rng.normal(0, 1, IMAGES))}
    means = {"a": Stat.of([0.5, 0.5, 0.5], IMAGES)}
    assert standings(means, rights, "a").best == ()
    found, _ = table(a=2, b=2, c=2)
    assert found.best == () and all(row.lead is None for row in found.rows)


def test_equal_means_share_a_rank_and_rows_without_autoattack_come_last():
    half, less = Stat.of([0.1 + 0.2, 0.7]), Stat.of([0.2])
    means = {"none": None, "low": less, "x": half, "y": Stat.of([0.7, 0.3])}
    found = standings(means, {}, None)
    assert [(row.label, row.rank) for row in found.rows] == [
        ("x", 1),
        ("y", 1),
        ("low", 3),
        ("none", None),
    ]


def test_the_reference_in_the_best_group_has_nobody_above_it():
    for seed in range(40):
        rng = np.random.default_rng(seed)
        hardness = rng.normal(0, 1, IMAGES)
        rights = {
            str(i): flags(rng, hardness, rng.normal(0, 0.4), int(rng.integers(3, 7)))
            for i in range(6)
        }
        means = {k: Stat.of(map(float, f.mean(axis=1)), IMAGES) for k, f in rights.items()}
        found = standings(means, rights, "0")
        relations = {label: verdict.relation for label, verdict in found.verdicts.items()}
        if "0" in found.best:
            assert "better" not in relations.values()
        assert all(relations.get(label) != "worse" for label in found.best)
