"""The numbers of a sheet made anew from the files of its runs.

Accuracies follow from the outcomes of each image, the selected epoch from the history, and the rest
of a row from the records' specifications. What differs breaks a rule as anything else does.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from regmix_bench.analysis.cohorts import Run, load_runs
from regmix_bench.errors import UserError
from regmix_bench.records.checkpoints import checkpoint_of
from regmix_bench.records.outcomes import read_outcomes, recorded_outcomes
from regmix_bench.records.selection import chosen_epochs
from regmix_bench.sheets.counting import unlike_its_runs
from regmix_bench.sheets.own import metrics, study_sheet
from regmix_bench.sheets.rule import Breach, in_words
from regmix_bench.sheets.sheet import SeedRun, Sheet, SheetRow
from regmix_bench.sheets.verification import Verification, hold_to_rules
from regmix_bench.types import TrainedCheckpoint

#: What a row says that is no fact of a specification, or is counted from its runs.
_NO_FACTS = {"method", "overfitting", "numbers", "runs", "files"}
#: In percent: half of the last of two decimals.
_ROUNDING = 0.0051

_WRONG, _LEFT_OUT, _NO_FILE = "number-not-borne-out", "run-left-out", "numbers-without-file"


def hold_to_files(
    results: Path, sheet: Sheet | None = None, only: Collection[str] | None = None
) -> Verification:
    """Hold a sheet to every rule, and its numbers to the files of the records in ``results``.

    Without a sheet it is that of the records, of which those whose run_id is among ``only`` are
    taken. Raises :class:`UserError` where there are none, or they cannot be read, where the sheet
    names none of them, and as :func:`~regmix_bench.sheets.verification.hold_to_rules` does.
    """
    if sheet is not None and not any(
        run.record for table in sheet.tables.values() for row in table.rows for run in row.runs
    ):
        raise UserError(f"no run of the sheet names a record, of which {results} could tell more")
    runs = load_runs(results)
    if only is not None:
        runs = tuple(run for run in runs if run.record.run_id in only)
    own = study_sheet(results, runs, whole=only is None)
    return hold_to_rules(sheet or own, recount(sheet or own, own, runs))


def recount(
    sheet: Sheet, own: Sheet, runs: Sequence[Run]
) -> Mapping[str, Mapping[str, Sequence[Breach]]]:
    """Return what the files of ``runs`` contradict: by rule, then by table.

    Rows are known by the records that their runs name; a run that names none is not asked. ``own``
    is the sheet of the records.
    """
    known = {run.record.run_id: run for run in runs}
    rows = {
        run.record: row
        for table in own.tables.values()
        for row in table.rows
        for run in row.runs
        if run.record is not None
    }
    found: dict[str, dict[str, list[Breach]]] = defaultdict(lambda: defaultdict(list))
    for name, table in sheet.tables.items():
        for row in table.rows:
            for rule, said in _contradictions(row, known, rows):
                found[rule][name].append(Breach(row.method, said))
    return found


def _contradictions(
    row: SheetRow, known: Mapping[str, Run], rows: Mapping[str, SheetRow]
) -> Iterator[tuple[str, str]]:
    named = {run.record: run for run in row.runs if run.record is not None}
    measured: dict[int, dict[str, float]] = {}
    for record, claimed in named.items():
        if record not in known:
            yield _NO_FILE, f"seed {claimed.seed}: there is no record {record}"
            continue
        found = list(_unlike_record(claimed, known[record]))
        try:
            measured[claimed.seed] = _measured(row, claimed, known[record])
            found += _unlike_outcomes(claimed, measured[claimed.seed])
        except _NotThere as error:
            found.append((_NO_FILE, str(error)))
        except UserError as error:
            found.append((_WRONG, str(error)))
        for rule, said in found:
            yield rule, f"seed {claimed.seed}: {said}"
    if (said_of_means := _unlike_means(row, measured)) is not None:
        yield _WRONG, said_of_means
    recorded = {id(rows[record]): rows[record] for record in named if record in rows}
    if len(recorded) > 1:
        names = ", ".join(each.method for each in recorded.values())
        yield _WRONG, f"its runs are recorded as those of several rows: {names}"
    for own in recorded.values():
        for said in _unlike_facts(row, own):
            yield _WRONG, said
        for run in own.runs:
            if run.record not in named:
                yield _LEFT_OUT, f"seed {run.seed} is recorded as {run.record}, and not in its row"


def _unlike_record(claimed: SeedRun, run: Run) -> Iterator[tuple[str, str]]:
    if claimed.seed != run.spec.seed:
        yield _WRONG, f"its record is of seed {run.spec.seed}"
    if claimed.selected_epoch is not None and (history := run.record.history):
        chosen = chosen_epochs(history, run.spec.recipe.selection)["selected"]
        if chosen != claimed.selected_epoch:
            yield _WRONG, f"selected epoch {claimed.selected_epoch}, and {chosen} by its history"


class _NotThere(UserError):
    """A record lacks what a row speaks of."""


def _measured(row: SheetRow, claimed: SeedRun, run: Run) -> dict[str, float]:
    """Return the accuracies of a run in percent, counted anew from the outcomes of its images.

    They are none of a run that is left out without numbers. Raises :class:`_NotThere` where there
    are no outcomes, and :class:`UserError` where they are damaged or others.
    """
    if not claimed.numbers and not claimed.counted:
        return {}
    kind, epoch = row.weights.kind, row.weights.epoch or "selected"
    checkpoint: TrainedCheckpoint = epoch
    if kind is not None and kind != "mixed":
        checkpoint = checkpoint_of(run.record, kind, epoch)
    score = run.record.evaluation(checkpoint, row.threat)
    if score is None:
        raise _NotThere(f"its record has no score of the checkpoint {checkpoint}")
    file = recorded_outcomes(run.path, score)
    if file is None:
        raise _NotThere("there are no outcomes of its images")
    right = read_outcomes(file, score).mean()
    named = metrics(run.spec).items()
    return {name: 100 * float(right[metric]) for name, metric in named if metric in right}


def _unlike_outcomes(claimed: SeedRun, measured: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for name, said in claimed.numbers.items():
        share = measured.get(name)
        if share is None:
            yield _NO_FILE, f"the outcomes of its images say nothing of {name}"
        elif abs(share - said) > _ROUNDING:
            yield _WRONG, f"{name} {said:.2f}, and {share:.2f} by the outcomes of its images"


def _unlike_means(row: SheetRow, measured: Mapping[int, Mapping[str, float]]) -> str | None:
    """Say where means are not those of runs that give no numbers of their own, but records."""
    if all(run.numbers for run in row.counted):
        return None
    runs = tuple(
        run.model_copy(update={"numbers": {**measured.get(run.seed, {}), **run.numbers}})
        for run in row.runs
    )
    return unlike_its_runs(row.model_copy(update={"runs": runs}))


def _unlike_facts(row: SheetRow, recorded: SheetRow) -> Iterator[str]:
    mine, theirs = _flat(row), _flat(recorded)
    for path, value in mine.items():
        other = theirs.get(path)
        if value is not None and other is not None and not _is_same(value, other):
            yield f"{path} {in_words(value)}, and {in_words(other)} by its records"


def _flat(row: SheetRow) -> dict[str, object]:
    """Return the facts of a row by their paths."""
    return dict(_leaves("", row.model_dump(mode="json", exclude=_NO_FACTS)))


def _leaves(path: str, value: object) -> Iterator[tuple[str, object]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for key, each in value.items():
        yield from _leaves(f"{path}.{key}".lstrip("."), each)


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-3)
    return one == other
