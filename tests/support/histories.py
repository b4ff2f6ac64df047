"""Histories of trainings, planted: the validation accuracies are those given."""

from __future__ import annotations

from collections.abc import Sequence

from regmix_bench.records.schema import EpochLog, Work


def planted_history(
    pgd: Sequence[float],
    fgsm: Sequence[float] | None = None,
    seconds: Sequence[float] | None = None,
    work: Sequence[Work] | None = None,
) -> tuple[EpochLog, ...]:
    """An epoch for each accuracy under PGD-10; that under FGSM is the same unless given."""
    single, took = fgsm or pgd, seconds or [1.0] * len(pgd)
    return tuple(
        EpochLog(
            epoch=place + 1,
            lr=0.1,
            loss=1.0,
            val_clean_acc=0.9,
            val_fgsm_acc=single[place],
            val_pgd_acc=accuracy,
            seconds=took[place],
            work=work[place] if work else None,
        )
        for place, accuracy in enumerate(pgd)
    )
