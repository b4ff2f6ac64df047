from __future__ import annotations

import numpy as np
import pytest
from support.synthetic import make_spec, write_run

from regmix_bench.reporting.contents import Contents
from regmix_bench.reporting.site.compared import comparison_data
from regmix_bench.reporting.site.leaderboard import Rankings

COUNTS = {"pgd-at": 280, "trades": 300, "standard": 150}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """The contents, their only ranking, and its data."""
    results = tmp_path_factory.mktemp("results")
    for name, right in COUNTS.items():
        for seed in range(3):
            spec = make_spec(name, seed=seed)
            write_run(results, spec, autoattack=right + seed, reference="pgd-at")
    write_run(results, make_spec("mart"), autoattack=290, reference="pgd-at")
    contents = Contents.of(results)
    (ranking,) = Rankings.of(contents).rankings
    return contents, ranking, comparison_data(ranking, contents)


def test_pairs_say_what_the_verdicts_of_the_ranking_say(found):
    contents, ranking, data = found
    keys = [row["key"] for row in data["rows"]]
    pairs = data["pairs"]
    assert [keys[place] for place in pairs["judged"]] == ["trades", "pgd-at", "standard"]
    column = [keys[place] for place in pairs["judged"]].index("pgd-at")
    for label, verdict in contents.standings[ranking.stem].verdicts.items():
        if verdict.interval is None:
            assert label == "mart"
            continue
        row = [keys[place] for place in pairs["judged"]].index(label)
        assert pairs["verdict"][row][column] == verdict.relation
        ends = pairs["low"][row][column], pairs["high"][row][column]
        assert ends == pytest.approx([100 * end for end in verdict.interval], abs=0.01)
        assert pairs["p"][row][column] == pytest.approx(verdict.p_value, rel=0.05)


def test_each_image_is_held_by_both_by_one_or_by_none(found):
    _, _, data = found
    keys = [data["rows"][place]["key"] for place in data["pairs"]["places"]]
    assert set(keys) == {*COUNTS, "mart"}
    both, held = np.array(data["pairs"]["both"]), np.array(data["pairs"]["held"])
    assert both == pytest.approx(both.T)
    i, j = keys.index("trades"), keys.index("standard")
    # Each method holds the first images, so that the weaker one's are held by both.
    assert both[i, j] == pytest.approx(100 * 151 / 360, abs=0.01)
    assert held[i] == pytest.approx(100 * 301 / 360, abs=0.01)


def test_a_row_has_means_over_its_seeds(found):
    _, _, data = found
    (row,) = [row for row in data["rows"] if row["key"] == "pgd-at"]
    assert dict(row["facts"])["Seeds"] == "3" and len(row["seeds"]) == 3
    assert data["classes"] == [str(k) for k in range(10)] and len(row["classes"]) == 10
    assert np.mean(row["classes"]) == pytest.approx(100 * 281 / 360, abs=0.05)


def test_rows_without_outcomes_have_no_pairs(tmp_path):
    for name in ("trades", "mart"):
        write_run(tmp_path, make_spec(name), outcomes=False)
    contents = Contents.of(tmp_path)
    (ranking,) = Rankings.of(contents).rankings
    data = comparison_data(ranking, contents)
    assert data["pairs"] == {"places": [], "judged": []} and data["classes"] == []
