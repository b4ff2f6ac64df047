"""Histories of trainings, planted: the validation accuracies are those given."""

from __future__ import annotations

from collections.abc import Sequence

from regmix_bench.records.schema import EpochLog


def planted_history(
    pgd: Sequence[float], fgsm: Sequence[float] | None = None, seconds: float = 1.0
) -> tuple[EpochLog, ...]:
    """An epoch for each accuracy under PGD-10; that under FGSM is the same unless given."""
    return tuple(
        EpochLog(
            epoch=epoch,
            lr=0.1,
            loss=1.0,
            val_clean_acc=0.9,
            val_fgsm_acc=single,
            val_pgd_acc=multi,
            seconds=seconds,
        )
        for epoch, (multi, single) in enumerate(zip(pgd, fgsm or pgd, strict=True), start=1)
    )
