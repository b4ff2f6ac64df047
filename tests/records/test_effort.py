from __future__ import annotations

import pytest
from support.histories import planted_history as planted
from support.synthetic import make_record, make_spec

from regmix_bench.records.effort import Effort, effort_to_hold, efforts, epoch_that_holds
from regmix_bench.records.schema import Cost, RunRecord, Work
from regmix_bench.specs import Recipe

PGD = (0.10, 0.30, 0.25, 0.40)


def record(n_train: int | None = 100, **history) -> RunRecord:
    """Four epochs whose steps passed 11 images forwards and 11 backwards for each of 100."""
    cost = Cost(seconds=10, forward_images=4 * 1100, backward_images=4 * 1100)
    logs = planted(PGD, seconds=(1.0, 2.0, 3.0, 4.0), **history)
    spec = make_spec(recipe=Recipe(epochs=4))
    return make_record(spec, n_train=n_train, history=logs, training_cost=cost)


@pytest.mark.parametrize(
    ("accuracy", "epoch"),
    [
        (0.05, 1),  # the first
        (0.11, 2),
        (0.30, 2),  # exactly, and it counts although the next epoch falls below
        (0.31, 4),  # the last
        (0.41, None),
        (0.1 + 0.2, 2),  # which rounds above 0.3
    ],
)
def test_an_accuracy_is_first_held_by_the_first_epoch_that_reaches_it(accuracy, epoch) -> None:
    assert epoch_that_holds(planted(PGD), accuracy) == epoch


def test_a_planted_history_has_this_exact_cost() -> None:
    assert effort_to_hold(record(), 0.3) == Effort(passes=44.0, seconds=3.0, energy=None)
    assert effort_to_hold(record(), 0.4) == Effort(passes=88.0, seconds=10.0, energy=None)
    assert effort_to_hold(record(), 0.5) is None
    assert effort_to_hold(record(n_train=None), 0.3) == Effort(None, 3.0, None)
    assert efforts(make_record(make_spec())) == ()


def test_epochs_that_recorded_their_passes_and_energy_are_not_taken_for_equal() -> None:
    work = [
        Work(images=100, passes=passes, energy=energy)
        for passes, energy in ((200, 5.0), (200, 5.5), (4200, 20.0), (4200, 20.0))
    ]
    assert [one.passes for one in efforts(record(work=work))] == [2.0, 4.0, 46.0, 88.0]
    assert effort_to_hold(record(work=work), 0.3) == Effort(4.0, 3.0, 10.5)
    work[2] = Work(images=100)  # of this epoch neither is known
    found = efforts(record(work=work))
    assert [one.passes for one in found] == [22.0, 44.0, 66.0, 88.0]
    assert [one.energy for one in found] == [5.0, 10.5, None, None]


def test_an_epoch_of_equal_batches_has_as_many_images_as_it_saw() -> None:
    equal = make_spec(recipe=Recipe(epochs=4, batches="equal", batch_size=60))
    cost = Cost(forward_images=4 * 60, backward_images=4 * 60)
    one = make_record(equal, n_train=100, history=planted(PGD), training_cost=cost)
    assert [effort.passes for effort in efforts(one)] == [2.0, 4.0, 6.0, 8.0]
