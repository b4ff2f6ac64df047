from __future__ import annotations

import pytest
from support.histories import planted_history as planted
from support.synthetic import make_record, make_spec

from regmix_bench.records.alarms import alarms_of, with_derived
from regmix_bench.records.schema import Alarm

OLD = Alarm(kind="catastrophic-overfitting", epoch=2, message="by an older rule")
NO_NUMBER = Alarm(kind="non-finite-loss", epoch=5, message="the loss is not finite in epoch 5")


def test_without_a_history_alarms_are_as_recorded() -> None:
    record = make_record(make_spec(), alarms=(OLD, NO_NUMBER))
    assert alarms_of(record) == (OLD, NO_NUMBER)  # as they were recorded


def test_alarms_follow_from_the_history_and_not_from_an_older_rule() -> None:
    history = planted([0.5, 0.5, 0.1, 0.4], [0.6, 0.7, 0.9, 0.5])
    record = make_record(
        make_spec(), alarms=(OLD, NO_NUMBER), history=history, n_validation=1000, selected_epoch=1
    )
    caught, fell, other = alarms_of(record)
    assert (caught.kind, caught.epoch) == ("catastrophic-overfitting", 3)
    assert caught.message == (
        "validation accuracy was 90.0% under FGSM and 10.0% under PGD-10, which epoch 3 was the"
        " last to show; after the last epoch it is 50.0% and 40.0%"
    )
    assert (fell.kind, fell.epoch) == ("robust-overfitting", 4)
    assert fell.message == (
        "validation accuracy under PGD-10 fell from 50.0% at epoch 1 to 40.0% at the last, by 10.0"
        " points with a standard error of 2.2"
    )
    assert other == NO_NUMBER
    assert with_derived((OLD,), planted([0.3, 0.4]), 1000) == ()


@pytest.mark.parametrize(
    ("average", "raw", "n", "alarmed"),
    [
        (0.1, 0.526, 1000, True),
        (0.1, None, 1000, False),  # nothing is averaged
        (0.50, 0.54, 100_000, False),  # significant, and little
        (0.4, 0.5, 100, False),  # much, and not significant
        (0.526, 0.1, 1000, False),
        (0.1, 0.526, None, False),
    ],
)
def test_an_average_that_stays_behind_is_told(average, raw, n, alarmed) -> None:
    last = {"raw_val_clean_acc": 0.9, "raw_val_fgsm_acc": raw, "raw_val_pgd_acc": raw}
    first, second = planted([average, average])
    if raw is not None:
        second = second.model_copy(update=last)
    alarms = with_derived((), (first, second), n)
    found = [alarm for alarm in alarms if alarm.kind == "average-behind"]
    assert [alarm.epoch for alarm in found] == [2] * alarmed
    if alarmed:
        assert "10.0% of the validation images with the average" in found[0].message
