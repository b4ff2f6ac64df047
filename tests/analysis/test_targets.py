from __future__ import annotations

import math
from operator import attrgetter

import pytest
from support.histories import planted_history as planted

from regmix_bench.analysis.cohorts import Cohort, load_runs, sort_into_cohorts
from regmix_bench.analysis.targets import Race, Target


@pytest.fixture
def cohort(record, save) -> Cohort:
    """Rows of best accuracies 0.2, 0.5 (mean of 0.4 and 0.6) and 0.7, on 200 validation images."""
    results = save(
        record("standard", history=planted([0.1, 0.2, 0.1, 0.0])),
        record("pgd-at", seed=0, history=planted([0.1, 0.2, 0.4, 0.3])),
        record("pgd-at", seed=1, history=planted([0.3, 0.6, 0.5, 0.5])),
        record("trades", history=planted([0.5, 0.6, 0.7, 0.6])),
        record("mart", history=()),
    )
    (found,) = sort_into_cohorts(load_runs(results))
    return found


@pytest.mark.parametrize(
    ("reference", "asked", "accuracy", "words"),
    [
        ("pgd-at", None, 0.5 - math.sqrt(0.25 / 200), "the best epoch of PGD-AT"),
        ("trades", None, 0.7 - math.sqrt(0.21 / 200), "the best epoch of trades"),
        (None, None, 0.5 - math.sqrt(0.25 / 200), "the best epoch of the middle row"),
        ("mart", None, 0.5 - math.sqrt(0.25 / 200), "the best epoch of the middle row"),
        ("pgd-at", 0.45, 0.45, "as asked for"),
    ],
)
def test_the_target_is_the_references_less_an_error_unless_asked_for(
    cohort, reference, asked, accuracy, words
) -> None:
    target = Target.of(cohort, reference, asked)
    assert target is not None
    assert target.accuracy == pytest.approx(accuracy)
    said = target.words_for({"pgd-at": "PGD-AT"})
    assert said.startswith(words)
    assert ("less one standard error" in target.words) == (asked is None)


@pytest.mark.parametrize("history", [(), planted([0.0, 0.0, 0.0, 0.0])])
def test_where_nothing_is_held_there_is_no_target(record, save, history) -> None:
    (cohort,) = sort_into_cohorts(load_runs(save(record("pgd-at", history=history))))
    assert Target.of(cohort, "pgd-at", None) is None


def test_a_seed_that_never_holds_the_target_counts_and_one_without_history_does_not(cohort) -> None:
    target = Target(0.45, "")
    races = {group.label: Race.of(group.runs, target) for group in cohort.groups}
    seconds = {label: race.costs(attrgetter("seconds")) for label, race in races.items()}
    assert seconds == {
        "standard": [math.inf],
        "pgd-at": [2.0, math.inf],
        "trades": [1.0],
        "mart": [],
    }
    assert races["trades"].costs(attrgetter("energy")) == []  # nobody measured it
    assert races["standard"].costs(attrgetter("energy")) == [math.inf]
    assert [len(races[label].reached) for label in races] == [0, 1, 1, 0]
