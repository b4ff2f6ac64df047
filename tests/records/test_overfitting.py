from __future__ import annotations

import pytest
from support.histories import planted_history as planted

from regmix_bench.records.overfitting import Overfitting, beside_average


@pytest.mark.parametrize(
    ("pgd", "fgsm", "onset", "latest", "words"),
    [
        ([0.3, 0.4, 0.42], [0.4, 0.5, 0.5], None, None, ()),
        ([0.3, 0.4, 0.4], [0.5, 0.6, 0.6], None, None, ()),  # exactly 20 points are not above
        ([0.7, 0.7, 0.7], [0.9, 0.9, 0.9], None, None, ()),  # nor are they by rounding: 0.9 - 0.7
        ([0.3, 0.1, 0.4], [0.4, 0.8, 0.5], 2, 2, ("catastrophic from epoch 2, recovered after 2",)),
        (
            [0.3, 0.0, 0.4, 0.1, 0.4],
            [0.4, 0.8, 0.5, 0.9, 0.5],
            2,
            4,
            ("catastrophic from epoch 2, recovered after 4",),
        ),
        ([0.3, 0.4, 0.0], [0.4, 0.5, 0.9], 3, 3, ("catastrophic from epoch 3, to the last",)),
        ([0.0, 0.0, 0.0], [0.5, 0.8, 0.9], 1, 3, ("catastrophic from epoch 1, to the last",)),
        ([0.0, 0.3, 0.4], [0.9, 0.4, 0.5], 1, 1, ("catastrophic from epoch 1, recovered after 1",)),
    ],
)
def test_the_onset_of_catastrophic_overfitting(pgd, fgsm, onset, latest, words) -> None:
    found = Overfitting.of(planted(pgd, fgsm), 1000)
    assert found is not None
    assert (found.onset, found.latest, found.words) == (onset, latest, words)
    assert found.recovered == (latest is not None and latest < len(pgd))
    assert found.largest_gap == pytest.approx(max(f - p for f, p in zip(fgsm, pgd, strict=True)))


@pytest.mark.parametrize(
    ("fgsm", "images", "caught"),
    [
        (11 / 14, 14, False),  # three images of 14
        (14 / 14, 14, True),
        (0.79, 143, True),  # from 69 images on chance leaves less than 20 points
        (0.79, None, True),
    ],
)
def test_few_images_call_no_difference_by_chance_catastrophic(fgsm, images, caught) -> None:
    found = Overfitting.of(planted([8 / 14] * 2, [fgsm, 8 / 14]), images)
    assert found is not None
    assert (found.onset == 1) == caught


@pytest.mark.parametrize(
    ("pgd", "images", "robust"),
    [
        ([0.30, 0.52, 0.44], 1000, True),
        ([0.30, 0.52, 0.44], 100, False),  # so few images do not resolve eight points
        ([0.30, 0.52, 0.44], None, False),
        ([0.30, 0.44, 0.52], 1000, False),  # the last is the best
        ([0.52, 0.30, 0.51], 1000, False),  # a fall between them does not count
        ([1.0, 1.0, 0.0], 1000, True),  # without a standard error, where nothing is left to chance
        ([0.5, 0.5, 0.5], 1000, False),
        ([0.52], 1000, False),
    ],
)
def test_robust_overfitting_is_a_significant_fall_at_the_last_epoch(pgd, images, robust) -> None:
    found = Overfitting.of(planted(pgd), images)
    assert found is not None
    assert found.robust == robust
    assert found.words == (("robust",) if robust else ())
    assert found.drop == pytest.approx(max(pgd) - pgd[-1])


def test_the_drop_has_the_standard_error_of_two_accuracies() -> None:
    found = Overfitting.of(planted([0.5, 0.8, 0.8, 0.2]), 400)
    assert found is not None
    assert (found.best.epoch, found.last.epoch) == (2, 4)  # of equals the earlier
    assert found.standard_error == pytest.approx((0.8 * 0.2 / 400 + 0.2 * 0.8 / 400) ** 0.5)


def test_a_fall_that_is_catastrophic_is_not_called_robust_too() -> None:
    caught = Overfitting.of(planted([0.5, 0.1], [0.6, 0.9]), 1000)
    both = Overfitting.of(planted([0.5, 0.1, 0.4], [0.6, 0.9, 0.5]), 1000)
    assert caught is not None and both is not None
    assert (caught.robust, caught.drop) == (False, pytest.approx(0.4))
    assert both.words == ("catastrophic from epoch 2, recovered after 2", "robust")


def test_an_average_of_weights_hides_nothing_as_the_raw_ones_are_read() -> None:
    averaged = planted([0.3, 0.4, 0.4], [0.4, 0.5, 0.5])
    collapsed = {"raw_val_clean_acc": 0.9, "raw_val_fgsm_acc": 0.9, "raw_val_pgd_acc": 0.1}
    healthy = {"raw_val_clean_acc": 0.9, "raw_val_fgsm_acc": 0.6, "raw_val_pgd_acc": 0.5}
    raw = (healthy, healthy, collapsed)
    history = [log.model_copy(update=part) for log, part in zip(averaged, raw, strict=True)]
    found = Overfitting.of(history, 1000)
    assert found is not None
    assert (found.onset, found.drop) == (3, pytest.approx(0.4))
    before = Overfitting.of((averaged[0], *history[1:]), 1000)  # no average yet
    assert before is not None and before.best.pgd == 0.5 and before.onset == 3


def test_no_epoch_says_nothing() -> None:
    assert Overfitting.of((), 1000) is None


def test_raw_weights_are_told_beside_an_average_alone() -> None:
    plain = planted([0.4, 0.5, 0.6])
    assert beside_average(plain) == () == beside_average(())
    raw = dict.fromkeys(("raw_val_clean_acc", "raw_val_fgsm_acc", "raw_val_pgd_acc"), 0.1)
    later = (*plain[:1], *(log.model_copy(update=raw) for log in plain[1:]))  # from epoch 2
    assert [one.pgd for one in beside_average(later)] == [0.4, 0.1, 0.1]
