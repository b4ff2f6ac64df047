"""The overfitting in a comparison: its columns, remarks and note, and the numbers of every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from regmix_bench.analysis.blocks import Block, Row
from regmix_bench.analysis.cohorts import Cohort
from regmix_bench.records.overfitting import CATASTROPHIC_GAP, FALL_LEVEL, Overfitting
from regmix_bench.reporting.tables.footnotes import Remark
from regmix_bench.reporting.values import Cell, Column, averaged


def overfitting_columns(block: Block) -> Iterator[tuple[Column, list[Cell]]]:
    """Yield the onsets and the sizes of what overfitted, where any run of a block did.

    They are of trainings, to their last epoch, and so the same whichever checkpoint was scored.
    """
    found = [one for row in block.rows for one in _found(row)]
    if any(one.onset is not None for one in found):
        yield Column("onset_epoch", "CO onset"), [_onsets(row) for row in block.rows]
    if any(one.words for one in found):
        drops = [averaged(row.metrics.get("val_pgd_drop"), "points") for row in block.rows]
        yield Column("val_pgd_drop", "Val. drop", "mean", "lower"), drops


def overfitting_remarks(block: Block) -> Iterator[Remark]:
    """Yield a remark on each run that overfitted, for either kind."""
    for row in block.rows:
        for run, _ in row.scores:
            found = Overfitting.of(run.record.history, run.record.n_validation)
            for words in found.words if found else ():
                yield Remark(row.label, run.spec.seed, "overfitting", words)


def overfitting_note(block: Block) -> Iterator[str]:
    """Say what is called overfitting, and whether any run did, where histories are recorded."""
    found = [one for row in block.rows for one in _found(row)]
    if not found:
        return
    caught = any(one.words for one in found)
    logs = (log for row in block.rows for run, _ in row.scores for log in run.record.history)
    averaged_too = any(log.raw_val_pgd_acc is not None for log in logs)
    raw = " of the raw weights" if averaged_too else ""
    yield (
        f"{'Overfitting' if caught else 'No run overfitted'}, by validation accuracy{raw} in every"
        f" epoch and whatever was selected: catastrophic (CO) where FGSM leaves more than"
        f" {100 * CATASTROPHIC_GAP:g} points above PGD-10; robust where PGD-10 after the last epoch"
        f" is below its best{', which Val. drop says in points' if caught else ''}; both where the"
        f" difference is significant ({100 * FALL_LEVEL:g} %, one-sided)."
    )


def overfitting_runs(cohorts: Sequence[Cohort]) -> pd.DataFrame:
    """Return what the history of every run says of overfitting; accuracies are 0 to 1."""
    return pd.DataFrame(
        [
            {
                **cohort.csv_columns,
                "label": group.label,
                "seed": run.spec.seed,
                "run_id": run.record.run_id,
                "epochs": found.last.epoch,
                "onset_epoch": found.onset,
                "latest_epoch": found.latest,
                "largest_gap": found.largest_gap,
                "best_epoch": found.best.epoch,
                "best_val_pgd_acc": found.best.pgd,
                "last_val_pgd_acc": found.last.pgd,
                "drop": found.drop,
                "standard_error": found.standard_error,
                "robust": found.robust,
            }
            for cohort in cohorts
            for group in cohort.groups
            for run in group.runs
            if (found := Overfitting.of(run.record.history, run.record.n_validation)) is not None
        ]
    )


def _found(row: Row) -> list[Overfitting]:
    records = (run.record for run, _ in row.scores)
    found = (Overfitting.of(record.history, record.n_validation) for record in records)
    return [one for one in found if one is not None]


def _onsets(row: Row) -> Cell:
    """The epochs, as a range over seeds, and how many of the seeds, where not all did."""
    found = _found(row)
    onsets = [one.onset for one in found if one.onset is not None]
    if not onsets:
        return Cell("never") if found else Cell()
    epochs = "–".join(map(str, sorted({min(onsets), max(onsets)})))
    some = f" ({len(onsets)} of {len(found)})" if len(onsets) < len(found) else ""
    return Cell(epochs + some)
