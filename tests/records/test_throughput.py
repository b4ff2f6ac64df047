"""Rates over a history: recomputed by hand, and none where nothing was measured."""

from __future__ import annotations

import pytest
from support.hostile import history
from support.synthetic import make_record, make_spec

from regmix_bench.records.schema import EpochLog, MatrixProduct, Work
from regmix_bench.records.throughput import Throughput, undisturbed

PRODUCT = MatrixProduct(precision="bf16", flop_per_second=50e12)
WHOLE = Work(images=1000, flop=11e12, product=PRODUCT, peak_memory=5_000, energy=300.0)


def epoch_of(seconds: float, work: Work | None) -> EpochLog:
    return history(1, work)[0].model_copy(update={"seconds": seconds})


def test_rates_are_those_of_all_epochs_together() -> None:
    faster = PRODUCT.model_copy(update={"flop_per_second": 200e12})
    other = WHOLE.model_copy(update={"product": faster, "peak_memory": 7_000})
    found = Throughput.of([epoch_of(2.0, WHOLE), epoch_of(0.5, other)])
    assert found == Throughput(
        images_per_second=2000 / 2.5,
        flop_per_second=22e12 / 2.5,
        mfu=22e12 / (2.0 * 50e12 + 0.5 * 200e12),  # resumed on a faster device
        peak_memory=7_000,
        energy=600.0,
    )


def test_an_epoch_that_recorded_nothing_is_left_out() -> None:
    found = Throughput.of([epoch_of(9.0, None), epoch_of(2.0, WHOLE)])
    assert found is not None
    assert (found.images_per_second, found.flop_per_second) == (500.0, 5.5e12)
    assert found.mfu == pytest.approx(0.11)
    assert Throughput.of([epoch_of(9.0, None)]) is None and Throughput.of([]) is None


@pytest.mark.parametrize(
    ("lacking", "gone"),
    [
        ("flop", {"flop_per_second", "mfu"}),
        ("product", {"mfu"}),
        ("peak_memory", {"peak_memory"}),
        ("energy", {"energy"}),
    ],
)
def test_what_was_not_measured_is_none(lacking: str, gone: set[str]) -> None:
    found = Throughput.of([epoch_of(2.0, WHOLE.model_copy(update={lacking: None}))])
    assert {name for name, value in vars(found).items() if value is None} == gone


def test_the_energy_of_some_epochs_is_not_that_of_all() -> None:
    bare = WHOLE.model_copy(update={"energy": None})
    found = Throughput.of([epoch_of(2.0, WHOLE), epoch_of(2.0, bare)])
    assert found is not None and found.energy is None


@pytest.mark.parametrize("seconds", [0.0, 1e-320])
def test_no_rate_follows_from_no_time(seconds: float) -> None:
    found = Throughput.of([epoch_of(seconds, WHOLE)])
    assert found is not None
    assert (found.images_per_second, found.flop_per_second) == (None, None)
    assert found.mfu is None


def test_a_share_above_the_whole_is_none() -> None:
    slowed = PRODUCT.model_copy(update={"flop_per_second": 5e12})
    found = Throughput.of([epoch_of(2.0, WHOLE.model_copy(update={"product": slowed}))])
    assert found is not None and (found.flop_per_second, found.mfu) == (5.5e12, None)


@pytest.mark.parametrize(
    ("worked", "environment", "alone"),
    [
        ((3.9, 4.0), {"threads": 2}, True),
        ((3.9, 3.0), {"threads": 2}, False),
        ((1.0, 1.0), {"threads": 1, "devices": 2}, False),
        ((2.0, 2.0), {"threads": 1, "devices": 1}, True),
        ((4.0, None), {"threads": 1}, False),
        ((), {"threads": 1}, False),
        ((9.0, 9.0), {}, False),
        ((9.0, 9.0), {"threads": "all"}, False),
    ],
)
def test_a_machine_was_its_own_where_its_threads_never_waited(
    worked: tuple[float | None, ...], environment: dict[str, object], alone: bool
) -> None:
    epochs = tuple(
        epoch_of(2.0, WHOLE.model_copy(update={"processor_seconds": seconds})).model_copy(
            update={"epoch": number}
        )
        for number, seconds in enumerate(worked, start=1)
    )
    record = make_record(make_spec(), history=epochs, environment=environment)
    assert undisturbed(record) is alone
