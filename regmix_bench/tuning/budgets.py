"""The budget of a tuning, as it is typed and as it is spent."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from regmix_bench.errors import UserError
from regmix_bench.records.schema import Budget, TrialLog

#: Trials of each method, where no budget is given.
TRIALS = 20

#: Trials that may fail at no cost, where no other has had any.
_FAILURES = 3
#: Trials, images or seconds that a method may be given at most.
_MOST = 1e12
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_budget(trials: int | None, cost: str | None) -> Budget:
    """Return the budget that ``--trials`` or ``--budget`` gives, :data:`TRIALS` without either.

    Raises :class:`UserError` for both at once, and for what is no number above zero.
    """
    if cost is None:
        if trials is not None and trials < 1:
            raise UserError(f"--trials {trials}: a method needs one at least")
        if trials is not None and trials > _MOST:
            raise UserError(f"--trials {trials}: more than anybody has time for")
        return Budget(equal="trials", amount=trials or TRIALS)
    if trials is not None:
        raise UserError("--trials and --budget: methods are given the same of one, not of both")
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([smhd]?)\s*", cost.replace(",", ""))
    try:
        amount = float(match[1]) if match else 0.0
    except ValueError:
        amount = 0.0
    unit = _SECONDS.get(match[2]) if match else None
    amount *= unit or 1
    if not 0 < amount <= _MOST:
        raise UserError(
            f"--budget {cost!r} is neither images through the network, such as 2e9, nor time, such"
            " as 90m or 2h"
        )
    return Budget(equal="seconds" if unit else "passes", amount=amount)


def share_spent(budget: Budget, trials: Sequence[TrialLog]) -> float:
    """Return the part of a budget that ``trials`` have used, whatever came of them."""
    return _spent(budget, trials) / budget.amount


def allows(budget: Budget, trials: Sequence[TrialLog]) -> bool:
    """Return whether one more trial may begin beside ``trials``, of which some may be running."""
    left = trials_left(budget, trials)
    return not trials if left is None else _running(trials) < left


def trials_left(budget: Budget, trials: Sequence[TrialLog]) -> int | None:
    """Return how many trials have still to end, those among ``trials`` that are running included.

    A cost is known when a trial has ended: each further one is taken to cost what the dearest so
    far did, and before that the answer is None. One that has failed at no cost, as where its
    process died or the method refused its values, is taken for as dear, or such could go on for
    ever.
    """
    running = _running(trials)
    ended = len(trials) - running
    if budget.equal == "trials":
        return max(running, round(budget.amount) - ended)
    if not ended:
        return None
    dearest = max(_spent(budget, [trial]) for trial in trials)
    if not dearest:  # all have failed before their first step, and more would for ever
        return max(running, _FAILURES - ended)
    unknown = sum(t.state == "failed" and not _spent(budget, [t]) for t in trials)
    left = budget.amount - _spent(budget, trials) - unknown * dearest
    return max(running, math.floor(left / dearest))


def _running(trials: Sequence[TrialLog]) -> int:
    return sum(trial.state == "running" for trial in trials)


def _spent(budget: Budget, trials: Sequence[TrialLog]) -> float:
    if budget.equal == "trials":
        return len(trials)
    return sum(t.passes if budget.equal == "passes" else t.seconds for t in trials)
