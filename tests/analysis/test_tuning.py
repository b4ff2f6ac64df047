"""The best of so many trials, and what of it is luck."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from support.tuning import ended, make_study

from regmix_bench.analysis.tuning import BestCurve, Gain, expected_best


def test_the_expected_best_is_the_mean_over_all_draws() -> None:
    values = np.array([0.3, 0.1, 0.6, 0.6])
    for n in range(1, 5):
        draws = itertools.product(values, repeat=n)
        exact = np.mean([max(draw) for draw in draws])
        assert expected_best(values)[n - 1] == pytest.approx(exact)


def test_the_curve_rises_inside_its_interval() -> None:
    curve = BestCurve.of(np.random.default_rng(1).normal(0.5, 0.05, 20))
    assert (np.diff(curve.expected) > 0).all()
    assert (curve.low <= curve.expected).all() and (curve.expected <= curve.high).all()
    again = BestCurve.of(np.random.default_rng(1).normal(0.5, 0.05, 20))
    assert (again.low == curve.low).all()


def test_a_random_objective_shows_a_gain_in_at_most_one_tuning_of_twenty() -> None:
    rng = np.random.default_rng(0)
    gains = [Gain.of(rng.binomial(143, 0.5, 40) / 143) for _ in range(2000)]
    assert np.mean([found.gain for found in gains]) > 0.08  # the best of several is too good
    assert np.mean([found.told_apart for found in gains]) < 0.06


def test_a_start_that_all_others_beat_is_told_apart_and_few_trials_tell_nothing() -> None:
    others = np.linspace(0.4, 0.5, 39)
    assert Gain.of([0.1, *others]).told_apart
    assert Gain.of([0.1, *others]).gain == pytest.approx(0.4)
    assert not Gain.of([0.1, *others[:10]]).told_apart
    assert Gain.of([0.3]) == Gain(0.0, None)
    assert Gain.of(others[:19]).by_chance is None
    assert Gain.of(others[:20]).by_chance == pytest.approx(others[19] - others[1])


def test_there_is_no_gain_over_a_start_that_is_still_trained(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    study = make_study(tmp_path)
    start, other = study.claim(), study.claim()
    assert start is not None and other is not None
    study.tell(other.number, ended(other, 0.6), None)
    assert Gain.of_study(study.record()) is None
    study.tell(start.number, ended(start, 0.5), None)
    assert Gain.of_study(study.record()) == Gain(pytest.approx(0.1), None)
