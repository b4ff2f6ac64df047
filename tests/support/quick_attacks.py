"""An AutoAttack of a second, for tests: the authors' code with fewer iterations."""

from __future__ import annotations

from typing import Any

import pytest
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from pyautoattack.fab_pt import FABAttack_PT
from pyautoattack.square import SquareAttack

_FEWER: tuple[tuple[type, dict[str, int]], ...] = (
    (APGDAttack, {"n_iter": 6, "n_iter_orig": 6}),
    (APGDAttack_targeted, {"n_iter": 6, "n_iter_orig": 6}),
    (FABAttack_PT, {"n_iter": 2}),
    (SquareAttack, {"n_queries": 40}),
)


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Let each of the authors' attacks do less, for our loop and the package's own alike."""
    for attack, fewer in _FEWER:
        patch.setattr(attack, "perturb", _shortened(attack, fewer))


def _shortened(attack: Any, fewer: dict[str, int]) -> Any:
    whole = attack.perturb

    def perturb(self: Any, *args: object, **kwargs: object) -> Any:
        vars(self).update(fewer)
        return whole(self, *args, **kwargs)

    return perturb
