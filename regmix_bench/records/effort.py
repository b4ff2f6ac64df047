"""The cost at which a training first holds a validation accuracy, read off its history.

An accuracy is first held at the first epoch whose model, that which would be scored, reaches it on
validation images under PGD-10: its weights can be kept, whatever later epochs do to them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from regmix_bench.records.schema import EpochLog, RunRecord

#: What rounding may take from an accuracy.
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Effort:
    """The cost of a training from its start to the end of an epoch; None: not known.

    ``passes`` are images through the network, forwards and backwards, per training image and epoch,
    added up; ``seconds`` those of training steps, without preparation and validation; ``energy`` is
    in joules.
    """

    passes: float | None
    seconds: float
    energy: float | None


def efforts(record: RunRecord) -> tuple[Effort, ...]:
    """Return the cost up to the end of each epoch.

    Passes are those that the epochs recorded. Where they did not, each has an equal part of those
    of the whole training: nothing that older programs trained passed more images in one epoch than
    in another.
    """
    history, cost = record.history, record.training_cost
    if not history:
        return ()
    counted = [log.work.passes if log.work else None for log in history]
    equal = (cost.forward_images + cost.backward_images) / len(history)
    known = [float(passes) for passes in counted if passes is not None]
    passes = known if len(known) == len(history) else [equal] * len(history)
    visits = record.visits
    energies = [log.work.energy if log.work else None for log in history]
    return tuple(
        Effort(total / visits if visits else None, seconds, energy)
        for total, seconds, energy in zip(
            accumulate(passes),
            accumulate(log.seconds for log in history),
            _added(energies),
            strict=True,
        )
    )


def epoch_that_holds(history: Sequence[EpochLog], accuracy: float) -> int | None:
    """Return the first epoch that holds a validation PGD-10 accuracy (0 to 1), if any."""
    return next((log.epoch for log in history if log.val_pgd_acc >= accuracy - _ROUNDING), None)


def effort_to_hold(record: RunRecord, accuracy: float) -> Effort | None:
    """Return the cost up to the end of the first epoch that holds ``accuracy``, if any does."""
    epoch = epoch_that_holds(record.history, accuracy)
    return None if epoch is None else efforts(record)[epoch - 1]


def _added(parts: Sequence[float | None]) -> list[float | None]:
    """Sums up to each part; None from the first on that is not known."""
    sums = accumulate(math.nan if part is None else part for part in parts)
    return [None if math.isnan(total) else total for total in sums]
