"""The alarms of a training: what a reader of its numbers should know, read off its history.

Besides overfitting there is an average of weights that stays behind. While the learning rate is
high, weights turn, and those behind a batch norm shrink, within 1/(rate·decay) steps, the rate over
1 − momentum. An average that looks back further mixes weights of unlike sizes and directions, which
the running statistics beside them do not fit, and may not recover by the end of a short run: on
CIFAR-10 in 30 epochs of one cycle decay 0.9995 left 10 % where the raw weights had 82 %.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from regmix_bench.records.overfitting import CRITICAL, Overfitting, RawAccuracy, difference_error
from regmix_bench.records.schema import Alarm, EpochLog, RunRecord

#: An average is behind where PGD-10 leaves so much less of it than of the raw weights.
BEHIND = 0.05


def alarms_of(record: RunRecord) -> tuple[Alarm, ...]:
    """Return the alarms of a training, those that its history shows by the rules of today.

    An older program had others; without a history they are as they were recorded.
    """
    if not record.history:
        return record.alarms
    return with_derived(record.alarms, record.history, record.n_validation)


def with_derived(
    alarms: Iterable[Alarm], history: Sequence[EpochLog], n_validation: int | None
) -> tuple[Alarm, ...]:
    """Return those of ``alarms`` that no history shows, and all that this one shows."""
    others = (alarm for alarm in alarms if alarm.kind == "non-finite-loss")
    found = Overfitting.of(history, n_validation)
    overfitted = _of_overfitting(found, history) if found else ()
    behind = _of_average(history[-1], n_validation) if history and n_validation else ()
    return (*overfitted, *behind, *others)


def _of_overfitting(found: Overfitting, history: Sequence[EpochLog]) -> Iterator[Alarm]:
    if found.onset is not None:
        onset = RawAccuracy.of(history[found.onset - 1])
        end = f", which epoch {found.latest} was the last to show" if found.recovered else ""
        message = (
            f"validation accuracy was {onset.fgsm:.1%} under FGSM and"
            f" {onset.pgd:.1%} under PGD-10{end}; after the last epoch it is"
            f" {found.last.fgsm:.1%} and {found.last.pgd:.1%}"
        )
        yield Alarm(kind="catastrophic-overfitting", epoch=found.onset, message=message)
    if found.robust:
        message = (
            f"validation accuracy under PGD-10 fell from {found.best.pgd:.1%} at epoch"
            f" {found.best.epoch} to {found.last.pgd:.1%} at the last, by"
            f" {100 * found.drop:.1f} points with a standard error of"
            f" {100 * (found.standard_error or 0):.1f}"
        )
        yield Alarm(kind="robust-overfitting", epoch=found.last.epoch, message=message)


def _of_average(last: EpochLog, n_validation: int) -> Iterator[Alarm]:
    raw = last.raw_val_pgd_acc
    if raw is None:
        return
    significant = CRITICAL * difference_error(raw, last.val_pgd_acc, n_validation)
    if raw - last.val_pgd_acc > max(BEHIND, significant):
        message = (
            f"after the last epoch PGD-10 leaves {last.val_pgd_acc:.1%} of the validation images"
            f" with the average of weights, and {raw:.1%} with the raw ones: it looks back too far"
            " for so short a training, and a lower recipe.ema_decay looks back less"
        )
        yield Alarm(kind="average-behind", epoch=last.epoch, message=message)
