"""Search for records: those of given specifications, and those that a user names."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from regmix_bench.errors import UserError
from regmix_bench.records.paths import EVALUATED, SHIPPED, artifacts_dir, results_of, run_id_of
from regmix_bench.records.schema import EvalRecord, RunRecord
from regmix_bench.records.store import load_record, load_run, record_files
from regmix_bench.records.studies import load_study, study_files
from regmix_bench.specs import RunSpec

#: How far a planned run is.
RunState = Literal["done", "failed", "to resume", "to run"]


def states(specs: Mapping[str, RunSpec], results: Path) -> dict[str, RunState]:
    """Return how far each run is below ``results``; the runs are given, and returned, by run_id.

    Lists the folders once, however many runs there are. Raises :class:`UserError` where a folder
    or a record among them cannot be read.
    """
    recorded = {(path.parent, run_id_of(path)): path for path in record_files(results)}
    found: dict[str, RunState] = {}
    for run_id, spec in specs.items():
        path = recorded.get((results / spec.dataset / spec.arch, run_id))
        if path is not None:
            record = load_run(path)
            whole = record.status == "success" and not record.has_failed_attacks
            found[run_id] = "done" if whole else "failed"
        else:
            resumable = any(artifacts_dir(results, run_id).glob("state-*.pt"))
            found[run_id] = "to resume" if resumable else "to run"
    return found


def resolve_run(run: str, results: Path) -> Path:
    """Return the record that ``run`` names: a path, a run_id, or a unique prefix of one.

    What is not among ``results`` is looked for in what is shipped in this folder. Raises
    :class:`UserError` where ``run`` names none, or several, or one that is recorded twice.
    """
    as_path = Path(run)
    if as_path.suffix == ".json":
        try:
            if not as_path.is_file():
                raise UserError(f"no record at {run}")
        except OSError as error:
            raise UserError(f"cannot read record {run}: {error.strerror}") from error
        return as_path
    known: dict[Path, int] = {}
    for folder in (results, results / SHIPPED):
        ids: dict[str, list[Path]] = {}
        for path in record_files(folder):
            ids.setdefault(run_id_of(path), []).append(path)
        matches = [paths for run_id, paths in ids.items() if run and run_id.startswith(run)]
        if len(matches) == 1:
            path, *copies = matches[0]
            if copies:
                raise UserError(f"{path} and {copies[0]} record the same run: remove one")
            return path
        if matches:
            raise UserError(f"run {run!r} is ambiguous: {len(matches)} run_ids begin so")
        if ids or not known:
            known[folder] = len(ids)
    if run and (tuned := _tuning_of(run, results)):
        raise UserError(
            f"{tuned}, which keeps values and accuracies, and no model: `regmix-bench list studies"
            f" --results {shlex.quote(str(results))}` shows the best"
        )
    if not any(known.values()):
        raise UserError(
            f"unknown run {run!r}: none is recorded in {results}, and those that come with the"
            " project are found in its checkout alone"
        )
    shown = " and ".join(
        f"`regmix-bench list runs --results {shlex.quote(str(folder))}` shows all {count}"
        for folder, count in known.items()
    )
    raise UserError(f"unknown run {run!r}: {shown}")


def _tuning_of(run: str, results: Path) -> str | None:
    """Say which trial or study below ``results`` an id, or the start of one, is of, if any."""
    for path in study_files(results):
        study = load_study(path)
        where = f"the study {path.parent.name}/{path.stem}"
        if study.study_id.startswith(run):
            return f"{run!r} is {where}"
        for trial in study.trials:
            if trial.run_id is not None and trial.run_id.startswith(run):
                return f"{run!r} is trial {trial.number} of {where}"
    return None


def with_images(path: Path, results: Path) -> Path:
    """Return the record that has the images of a run: its own, or that of an evaluation.

    Evaluations of the run's weights lie in its results folder, or in ``results``. Where none has
    images it is ``path`` again.
    """
    record = load_record(path)
    if not isinstance(record, RunRecord) or _saved(record):
        return path
    found = evaluations_of(path, record, results)
    return next((other for other, each in found.items() if _saved(each)), path)


def evaluations_of(path: Path, run: RunRecord, results: Path) -> dict[Path, EvalRecord]:
    """Return the evaluations of a run's weights, in its results folder and in ``results``.

    ``path`` is that of the run's record.
    """
    roots = dict.fromkeys((results.absolute(), results_of(path).absolute()))
    folders = [root / run.spec.dataset / EVALUATED for root in roots]
    files = (file for folder in folders for file in sorted(folder.glob("*.json")))
    found = {file: load_record(file) for file in files}
    return {
        file: record
        for file, record in found.items()
        if isinstance(record, EvalRecord) and _is_of(record, run)
    }


def _is_of(found: EvalRecord, run: RunRecord) -> bool:
    return found.spec.model.run_id == run.run_id


def _saved(record: RunRecord | EvalRecord) -> bool:
    return any(score.adversarial_digest is not None for score in record.evaluations)
