"""How much work a function is, counted and not timed, so that a loaded machine changes nothing."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from functools import partial
from typing import Any


def calls(work: Callable[[], object]) -> int:
    """Return how many functions are called while ``work`` goes on."""
    profile = cProfile.Profile()
    profile.runcall(work)
    stats: Any = pstats.Stats(profile)
    return int(stats.total_calls)


def grows_linearly(work: Callable[[int], object], number: int) -> bool:
    """Return whether ``number`` more cost the same however many there are already.

    ``work`` does it for so many; of quadratic work each further step costs more than the last.
    """
    work(number)  # what is imported and cached counts for nobody
    first, second, third = (calls(partial(work, turn * number)) for turn in (1, 2, 3))
    return third - second < 1.03 * (second - first)
