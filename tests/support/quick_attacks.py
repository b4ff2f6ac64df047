"""An AutoAttack of a second, for tests: the authors' code with fewer iterations."""

from __future__ import annotations

from pyautoattack import AutoAttack

_whole = AutoAttack.__init__


def shortened(self: AutoAttack, *args: object, **kwargs: object) -> None:
    """What ``AutoAttack.__init__`` becomes, for ours and the package's own loop alike."""
    _whole(self, *args, **kwargs)
    for attack in (self.apgd, self.apgd_targeted):
        attack.n_iter = attack.n_iter_orig = 6
    self.fab.n_iter = 2
    self.square.n_queries = 40
