"""Successive halving (Karnin et al. 2013, Li et al. 2020): weak trials end before their last epoch.

A trial is judged at a ninth and at a third of its epochs, and goes on where its validation accuracy
is among the best third of what other trials had there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from regmix_bench.tuning.journal import require_optuna

if TYPE_CHECKING:
    import optuna

#: One in so many goes on.
_FACTOR = 3

#: The accuracy of a trial by its epochs, from the first on.
Curve = tuple[float, ...]


class Halving:
    """Judges one trial of ``epochs`` epochs by the ``rivals`` that have ended, in their order.

    So the verdict on a trial follows from those before it, also where it is trained again. Raises
    :class:`UserError` where Optuna is not installed.
    """

    def __init__(self, rivals: Sequence[Curve], epochs: int) -> None:
        require_optuna()
        import optuna

        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=max(1, epochs // _FACTOR**2), reduction_factor=_FACTOR
        )
        self._study = optuna.create_study(direction="maximize", pruner=pruner)
        for rival in rivals:
            trial = self._study.ask()
            for epoch, accuracy in enumerate(rival, start=1):
                _judge(trial, epoch, accuracy)
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        self._trial = self._study.ask()

    def ends(self, epoch: int, accuracy: float) -> bool:
        """Return whether the trial is to end after ``epoch``, from 1, for its ``accuracy``."""
        return _judge(self._trial, epoch, accuracy)


def _judge(trial: optuna.Trial, epoch: int, accuracy: float) -> bool:
    trial.report(accuracy, epoch)
    return trial.should_prune()
