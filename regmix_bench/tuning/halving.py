"""Successive halving (Karnin et al. 2013, Li et al. 2020): weak trials end before their last epoch.

A trial is judged at a ninth and at a third of its epochs, and goes on where its validation accuracy
is among the best third of what other trials had there. One of fewer than nine epochs is judged
after the first alone, and none after its last.
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

        first = max(1, epochs // _FACTOR**2)
        # Optuna would judge at nine ninths too, where nothing is left to be saved.
        self._judged = min(max(1, epochs // _FACTOR), epochs - 1)
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=first, reduction_factor=_FACTOR
        )
        self._study = optuna.create_study(direction="maximize", pruner=pruner)
        for rival in rivals:
            trial = self._study.ask()
            for epoch, accuracy in enumerate(rival, start=1):
                self._judge(trial, epoch, accuracy)
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        self._trial = self._study.ask()

    def ends(self, epoch: int, accuracy: float) -> bool:
        """Return whether the trial is to end after ``epoch``, from 1, for its ``accuracy``."""
        return self._judge(self._trial, epoch, accuracy)

    def _judge(self, trial: optuna.Trial, epoch: int, accuracy: float) -> bool:
        if epoch > self._judged:
            return False
        trial.report(accuracy, epoch)
        return trial.should_prune()
