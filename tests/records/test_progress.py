"""How far a run is: what a meter tells, when, and of which cost."""

from __future__ import annotations

from itertools import pairwise

import pytest

from regmix_bench.records.progress import INTERVAL, Part, Progress, ProgressMeter


class Clock:
    """Seconds that pass when a test says so, and what a meter tells at them."""

    def __init__(self) -> None:
        self.now = 100.0
        self.told: list[tuple[float, Progress]] = []
        self.meter = ProgressMeter(lambda p: self.told.append((self.now, p)), lambda: self.now)

    @property
    def last(self) -> Progress:
        return self.told[-1][1]


PGD, SQUARE = Part("selected", "8/255", "pgd"), Part("selected", "8/255", "square")


def test_training_is_told_by_epoch_share_and_time() -> None:
    clock = Clock()
    clock.meter.plan({PGD: 1_000.0})
    clock.meter.start_epoch(1, 4)
    assert clock.last == Progress(stage="training", epoch=1, epochs=4, epoch_share=0.0)
    clock.now += 5  # a tenth of the first epoch: 50 passes, so 2,000 to train and 1,000 to score
    clock.meter.step(0.1, 50, waited=True)
    assert (clock.last.epoch, clock.last.epoch_share) == (1, 0.1)
    assert clock.last.share == pytest.approx(50 / 3_000)
    assert clock.last.seconds_left == pytest.approx(2_950 / 10)
    clock.now += 20
    clock.meter.end_epoch(600)  # with its validation
    clock.meter.start_epoch(2, 4)
    assert clock.last.share == pytest.approx(600 / 3_400)
    assert clock.last.seconds_left == pytest.approx(2_800 * 25 / 600)


def test_a_device_that_is_not_waited_for_tells_no_time_before_an_epoch_is_done() -> None:
    clock = Clock()
    clock.meter.start_epoch(1, 2)
    clock.now += 1
    clock.meter.step(0.5, 500, waited=False)
    assert (clock.last.share, clock.last.seconds_left) == (0.25, None)
    clock.now += 9
    clock.meter.end_epoch(1_000)
    clock.meter.start_epoch(2, 2)
    clock.now += 1
    clock.meter.step(1.0, 1_000, waited=False)
    assert clock.last.seconds_left == 0.0
    clock.meter.start_epoch(2, 2)
    assert clock.last.seconds_left == pytest.approx(10.0)


def test_an_attack_is_told_by_images_and_its_passes_are_measured_where_they_are_made() -> None:
    clock = Clock()
    clock.meter.plan({PGD: 1_000.0, SQUARE: 4_000.0})
    clock.meter.begin(PGD, 100)
    assert (clock.last.stage, clock.last.attack, clock.last.images) == ("scoring", "pgd", 100)
    clock.now += 2
    clock.meter.passed(200)
    assert (clock.last.attack_share, clock.last.images_done) == (0.2, 20)
    assert clock.last.seconds_left == pytest.approx(4_800 / 100)
    clock.meter.judged(50)  # 50 images took 200 passes, and not 500
    clock.now += 2
    clock.meter.passed(200)
    assert (clock.last.attack_share, clock.last.images_done) == (1.0, 99)  # the batch goes on
    clock.meter.judged(50)
    clock.meter.begin(SQUARE, 60)
    assert (clock.last.images, clock.last.share) == (60, pytest.approx(400 / 4_400))
    assert (clock.last.part, clock.last.parts) == (2, 2)


def test_what_an_earlier_process_did_counts_as_done_and_says_nothing_of_the_pace() -> None:
    clock = Clock()
    clock.meter.plan({PGD: 1_000.0})
    clock.meter.begin(PGD, 100)
    clock.now += 1
    clock.meter.passed(500, again=True)
    assert (clock.last.share, clock.last.seconds_left) == (0.5, None)
    clock.now += 9
    clock.meter.passed(100)
    assert clock.last.seconds_left == pytest.approx(400 / 10)


def test_it_is_told_twice_a_second_at_most_and_when_an_attack_begins() -> None:
    clock = Clock()
    parts = [Part("last", "8/255", name) for name in ("clean", "pgd", "square")]
    clock.meter.plan(dict.fromkeys(parts, 100_000.0))
    for part in parts:
        clock.meter.begin(part, 1_000)
        for _ in range(1_000):
            clock.now += 0.01
            clock.meter.passed(1)
    times = [now for now, _ in clock.told]
    begun = [p.attack for _, p in clock.told if p.attack_share == 0]
    assert begun == ["clean", "pgd", "square"]
    within = [later - now for now, later in pairwise(times)]
    assert len(times) >= 57 and sum(gap < INTERVAL - 1e-6 for gap in within) <= len(parts)


def test_the_share_never_falls_though_more_is_to_do_than_was_planned() -> None:
    clock = Clock()
    clock.meter.plan({PGD: 1_000.0, SQUARE: 10.0})
    clock.meter.begin(PGD, 100)
    for _ in range(20):
        clock.now += 1
        clock.meter.passed(100)
    clock.meter.plan({SQUARE: 10_000.0})
    clock.meter.begin(SQUARE, 100)
    shares = [p.share for _, p in clock.told]
    assert shares == sorted(shares) and shares[-1] <= 1
    assert clock.last.seconds_left == pytest.approx(10_000 / 100)


def test_what_is_not_planned_or_sees_no_image_is_not_told_of() -> None:
    clock = Clock()
    clock.meter.plan({SQUARE: 100.0})
    clock.meter.begin(PGD, 100)
    clock.meter.passed(10)
    clock.meter.judged(100)
    clock.meter.begin(SQUARE, 0)
    assert not clock.told


def test_a_diagnosis_has_no_images() -> None:
    clock = Clock()
    part = Part("selected", "8/255")
    clock.meter.plan({part: 100.0})
    clock.meter.begin(part, 500)
    assert (clock.last.stage, clock.last.attack, clock.last.images) == ("diagnosis", None, None)
