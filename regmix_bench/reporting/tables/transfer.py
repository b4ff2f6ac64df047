"""Transfer matrices: which model's images break which, as tables and numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from regmix_bench.analysis.cohorts import row_order
from regmix_bench.analysis.statistics import accuracy_interval
from regmix_bench.analysis.words import threat_words
from regmix_bench.methods.declarations import display_name_of
from regmix_bench.records.schema import TransferRecord, TransferSide
from regmix_bench.reporting.values import Cell, Column, Table

UNATTACKED = "no attack"


def in_order(records: Iterable[TransferRecord]) -> tuple[TransferRecord, ...]:
    """Return transfers by dataset, threat and run_id."""
    return tuple(
        sorted(records, key=lambda r: (r.dataset, r.threat.norm, r.threat.epsilon, r.run_id))
    )


def stem(record: TransferRecord) -> str:
    """Return the name of a transfer's files without their endings."""
    return f"transfer-{record.dataset}-{record.threat.slug}-{record.run_id}"


def transfer_heading(record: TransferRecord) -> str:
    """Return what stands above a transfer's table."""
    return f"{record.dataset_words}: {transfer_words(record)}, {len(record.runs)} models"


def transfer_words(record: TransferRecord) -> str:
    """Return ``PGD-20 under L∞ 8/255``."""
    return f"{record.attack.upper()} under {threat_words(record.threat)}"


def matrix(record: TransferRecord, shown: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return accuracies (0 to 1), a row per source and a column per target.

    The first row is without an attack; the others and the columns are in the order of a report's
    tables. A run is named by its label, or by the name that is ``shown`` for it, and by what tells
    it apart where a label stands for several: seed, architecture or run_id.
    """
    order = _order(record)
    called = _names(record.runs, shown or {})
    names = [called[i] for i in order]
    rows = [[record.clean_acc[j] for j in order]]
    rows += [[record.accuracy[i][j] for j in order] for i in order]
    return pd.DataFrame(rows, index=[UNATTACKED, *names], columns=names)


def among(record: TransferRecord, places: Sequence[int]) -> TransferRecord:
    """Return what is between some of the models of a transfer, by their places in it."""
    return record.model_copy(
        update={
            "runs": tuple(record.runs[i] for i in places),
            "clean_acc": tuple(record.clean_acc[i] for i in places),
            "accuracy": tuple(tuple(record.accuracy[i][j] for j in places) for i in places),
        }
    )


def transfer_table(record: TransferRecord) -> Table:
    """Return the matrix as a table, its targets by the numbers of their rows, by shown names."""
    found = matrix(record, {run.label: display_name_of(run.label) for run in record.runs})
    numbered = [f"{i} {name}" for i, name in enumerate(found.columns, start=1)]
    targets = (
        Column(record.runs[place].run_id, str(number), "number", "higher")
        for number, place in enumerate(_order(record), start=1)
    )
    return Table(
        f"{record.dataset_words}: accuracy under images crafted on each model by"
        f" {transfer_words(record)}.",
        (Column("source", "Source"), *targets),
        tuple(
            (Cell(name), *(Cell(float(s), "share", count=record.n_examples) for s in shares))
            for name, shares in zip([UNATTACKED, *numbered], found.to_numpy(float), strict=True)
        ),
        (
            f"Percent of {record.n_examples:,} test images that the target, a column, gets right"
            f" with and without the attack. {transfer_seed_words(record)}Where source and target"
            " are the same model the attack is white-box.",
        ),
    )


def transfer_accuracies(record: TransferRecord) -> pd.DataFrame:
    """Return the matrix in long form: accuracies 0 to 1, with their 95 % intervals (Wilson)."""
    rows = []
    found = matrix(record)
    run_ids = [record.runs[i].run_id for i in _order(record)]
    for (row, column), accuracy in np.ndenumerate(found.to_numpy(float)):
        low, high = accuracy_interval(float(accuracy), record.n_examples)
        rows.append(
            {
                "dataset": record.dataset_words,
                "norm": record.threat.norm,
                "epsilon": str(record.threat.epsilon),
                "attack": record.attack,
                "source": found.index[row],
                "target": found.columns[column],
                "source_run": ["", *run_ids][row],
                "target_run": run_ids[column],
                "n_examples": record.n_examples,
                "accuracy": accuracy,
                "low": low,
                "high": high,
            }
        )
    return pd.DataFrame(rows)


def transfer_seed_words(record: TransferRecord) -> str:
    """Say which seed the models are of, where it is one; else their names say it."""
    seeds = {run.seed for run in record.runs}
    return f"Each model is that of seed {next(iter(seeds))}. " if len(seeds) == 1 else ""


def _order(record: TransferRecord) -> list[int]:
    """Positions of the runs in the order in which tables show them."""

    def place(i: int) -> tuple[object, ...]:
        run = record.runs[i]
        return row_order(run.label.partition("[")[0], run.label), run.arch, run.seed, run.run_id

    return sorted(range(len(record.runs)), key=place)


def _names(runs: Sequence[TransferSide], shown: Mapping[str, str]) -> list[str]:
    names = [shown.get(run.label, run.label) for run in runs]
    for more in _TOLD_APART_BY:
        alike = defaultdict(set)
        for name, run in zip(names, runs, strict=True):
            alike[name].add(more(run))
        names = [
            f"{name} {more(run)}" if len(alike[name]) > 1 else name
            for name, run in zip(names, runs, strict=True)
        ]
    return names


_TOLD_APART_BY: tuple[Callable[[TransferSide], str], ...] = (
    lambda run: run.arch,
    lambda run: f"s{run.seed}",
    lambda run: f"#{run.run_id[:4]}",
)
