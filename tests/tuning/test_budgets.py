"""What a budget leaves, as trials end."""

from __future__ import annotations

import pytest

from regmix_bench.records.schema import Budget, TrialLog
from regmix_bench.records.schema.study import TrialState
from regmix_bench.tuning.budgets import allows, trials_left


def trial(number: int, passes: int, state: TrialState = "complete") -> TrialLog:
    return TrialLog(number=number, state=state, values={}, passes=passes, seconds=passes / 10)


@pytest.mark.parametrize("budget", [("passes", 1000), ("seconds", 100)])
def test_a_cost_leaves_as_many_trials_as_the_dearest_so_far_allows(
    budget: tuple[str, float],
) -> None:
    cost = Budget(equal=budget[0], amount=budget[1])  # type: ignore[arg-type]
    assert (trials_left(cost, []), allows(cost, [])) == (None, True)
    first = trial(0, 0, "running")
    assert (trials_left(cost, [first]), allows(cost, [first])) == (None, False)
    ended = [trial(0, 200), trial(1, 300)]
    assert trials_left(cost, ended) == 1  # 500 are left, of which one more may take 300
    assert allows(cost, ended)
    assert not allows(cost, [*ended, trial(2, 0, "running")])
    assert trials_left(cost, [trial(0, 900)]) == 0
    # What is being trained ends, though it will be too much.
    assert trials_left(cost, [trial(0, 900), trial(1, 0, "running")]) == 1


def test_trials_leave_what_has_not_ended() -> None:
    budget = Budget(equal="trials", amount=3)
    assert trials_left(budget, [trial(0, 0, "failed"), trial(1, 0, "running")]) == 2
    assert trials_left(budget, [trial(n, 1) for n in range(5)]) == 0  # of a larger budget


def test_trials_that_fail_at_once_do_not_go_on_for_ever() -> None:
    cost = Budget(equal="passes", amount=1000)
    failed = [trial(number, 0, "failed") for number in range(3)]
    assert trials_left(cost, failed[:1]) == 2 and allows(cost, failed[:2])
    assert not allows(cost, failed)


def test_trials_that_fail_at_no_cost_are_taken_for_as_dear_as_others() -> None:
    cost = Budget(equal="passes", amount=1000)
    trials = [trial(0, 200), *(trial(number, 0, "failed") for number in (1, 2, 3))]
    assert trials_left(cost, trials) == 1
    assert not allows(cost, [*trials, trial(4, 0, "failed")])
