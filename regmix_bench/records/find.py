"""The results folder: where records lie, how they are written whole, and how they are read back.

A record is one JSON file; Parquet files beside it share its stem. Checkpoints and logs lie under
``artifacts/<run_id>/``, which git ignores. Nothing here imports torch, and pandas only where a
table is asked for.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from regmix_bench.errors import UserError
from regmix_bench.records.paths import artifacts_dir, record_path
from regmix_bench.records.store import load_run, record_files
from regmix_bench.specs import EvalSpec, RunSpec

if TYPE_CHECKING:
    pass


def find_record(results: Path, spec: RunSpec | EvalSpec) -> Path | None:
    """The record of this specification, also where ε was typed in another way."""
    expected = record_path(results, spec)
    if expected.exists():
        return expected
    return next(expected.parent.glob(f"*-{spec.run_id}.json"), None)


State = Literal["done", "failed", "to resume", "to run"]


def states(specs: Mapping[str, RunSpec], results: Path) -> dict[str, State]:
    """What a run of each specification would find below ``results``; both are by run_id.

    Lists the folders once, however many specifications there are. Raises :class:`UserError` where
    a folder or a record among them cannot be read.
    """
    recorded = {(path.parent, _run_id(path)): path for path in record_files(results)}
    found: dict[str, State] = {}
    for run_id, spec in specs.items():
        path = recorded.get((results / spec.dataset / spec.arch, run_id))
        if path is not None:
            found[run_id] = "done" if load_run(path).status == "success" else "failed"
        else:
            resumable = any(artifacts_dir(results, run_id).glob("state-*.pt"))
            found[run_id] = "to resume" if resumable else "to run"
    return found


def _run_id(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def resolve_run(run: str, results: Path) -> Path:
    """The record that ``run`` names: a path, a run_id, or a unique prefix of one."""
    as_path = Path(run)
    if as_path.suffix == ".json":
        try:
            if not as_path.is_file():
                raise UserError(f"no record at {run}")
        except OSError as error:
            raise UserError(f"cannot read record {run}: {error.strerror}") from error
        return as_path
    ids = {_run_id(path): path for path in record_files(results)}
    matches = [path for run_id, path in ids.items() if run and run_id.startswith(run)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise UserError(f"run {run!r} is ambiguous: {len(matches)} run_ids begin so")
    raise UserError(
        f"unknown run {run!r}: `regmix-bench list runs --results {shlex.quote(str(results))}`"
        f" shows all {len(ids)}"
    )
