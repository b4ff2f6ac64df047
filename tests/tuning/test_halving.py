"""Successive halving: the weak end early, and a verdict depends on those before alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from regmix_bench.tuning.halving import Halving

STRONG, WEAK = (0.3,) * 9, (0.1,) * 9


def ended_after(
    curve: tuple[float, ...], rivals: Sequence[tuple[float, ...]], epochs: int = 9
) -> int | None:
    halving = Halving(rivals, epochs)
    return next((e for e, value in enumerate(curve, 1) if halving.ends(e, value)), None)


def test_a_weak_trial_ends_at_a_ninth_and_a_strong_one_goes_on() -> None:
    rivals = [STRONG, (0.28,) * 9, (0.26,) * 9]
    assert ended_after(WEAK, rivals) == 1
    assert ended_after((0.4,) * 9, rivals) is None
    assert ended_after((0.4, 0.4, *WEAK), rivals) == 3  # at a third
    assert ended_after(WEAK, rivals) == 1  # also when it is trained again


def test_the_first_trial_has_nobody_to_be_weaker_than() -> None:
    assert ended_after(WEAK, []) is None


@pytest.mark.parametrize("epochs", [1, 2, 3, 5, 9, 10, 30, 110])
def test_no_trial_is_ended_past_a_third_where_little_is_left_to_save(epochs: int) -> None:
    rivals = [(0.3,) * epochs] * 3
    third = max(1, epochs // 3)
    late = (0.3,) * third + (0.1,) * (epochs - third)
    assert ended_after(late, rivals, epochs) is None
    first = max(1, epochs // 9) if epochs > 1 else None
    assert ended_after((0.1,) * epochs, rivals, epochs) == first
