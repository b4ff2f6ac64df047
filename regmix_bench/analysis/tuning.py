"""Statistics of the trials of a study: the best to expect of some of them, and what luck gains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regmix_bench.records.schema import StudyRecord

_SAMPLES, _LEVEL = 1000, 0.95


def trial_values(study: StudyRecord) -> NDArray[np.float64]:
    """Return the values (N,) of the trials that have ended, 0 to 1.

    One that was pruned or has failed counts, with an accuracy of 0.
    """
    ended = [trial.value or 0.0 for trial in study.trials if trial.state != "running"]
    return np.array(ended, dtype=np.float64)


def expected_best(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the expected maximum of 1, 2, … N draws from ``values`` (…, N), as (…, N).

    Draws are with replacement (Dodge et al., "Show Your Work", EMNLP 2019, equation 7).
    """
    ordered, size = np.sort(values, axis=-1), values.shape[-1]
    below = np.arange(size + 1) / size
    draws = np.arange(1, size + 1)
    weights = np.diff(below[:, None] ** draws, axis=0)  # of each rank, for each number of draws
    expected: NDArray[np.float64] = ordered @ weights
    return expected


@dataclass(frozen=True)
class BestCurve:
    """The expected best of 1, 2, … trials, with its interval at 95 %; each (N,), in [0, 1]."""

    expected: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> BestCurve:
        """Return the curve of the ``values`` (N,) of trials, its interval by a bootstrap of these.

        The trials are taken for exchangeable. Those that were proposed late are better than those
        that were drawn first, which makes the curve one of a search as long as this one.
        """
        drawn = np.random.default_rng(0).choice(values, (_SAMPLES, len(values)))
        tails = (50 * (1 - _LEVEL), 50 * (1 + _LEVEL))
        low, high = np.percentile(expected_best(drawn), tails, axis=0)
        return cls(expected_best(values), low, high)


@dataclass(frozen=True)
class Gain:
    """The best value less that of the start, and up to where chance alone would bring it.

    ``by_chance`` is None for fewer than 20 trials, which tell nothing.
    """

    gain: float
    by_chance: float | None

    @property
    def told_apart(self) -> bool:
        """True where the gain is beyond what chance brings in 19 of 20 tunings."""
        return self.by_chance is not None and self.gain > self.by_chance

    @classmethod
    def of_study(cls, study: StudyRecord) -> Gain | None:
        """Return the gain of a study; None before its start has ended and any trial is complete."""
        if study.best is None or study.trials[0].state == "running":
            return None
        return cls.of(trial_values(study))

    @classmethod
    def of(cls, values: Sequence[float] | NDArray[np.float64]) -> Gain:
        """Return the gain of the ``values`` (N,) of trials, of which the first is the start.

        Were no value better than another, the start would be any of the trials, whatever the
        noise: so the best less each of them is what chance gives.
        """
        ordered = np.sort(np.asarray(values, dtype=np.float64))
        passed_over = int(round(len(ordered) * (1 - _LEVEL), 9))
        best = float(ordered[-1])
        by_chance = best - float(ordered[passed_over]) if passed_over else None
        return cls(best - float(values[0]), by_chance)
