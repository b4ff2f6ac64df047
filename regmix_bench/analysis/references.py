"""The references of ``regmix-bench check``: what ``leaderboard.json`` holds, read and written.

One entry a run, in the records' own field names, the per-image outcomes it points at, and what
must be equal before its numbers may be compared with others.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from regmix_bench.errors import UserError
from regmix_bench.methods.configured import all_params, relabelled
from regmix_bench.records import paths, store
from regmix_bench.records.corrupted import read_image_means
from regmix_bench.records.migrations import LEADERBOARD
from regmix_bench.records.outcomes import read_images, recorded_outcomes
from regmix_bench.records.overfitting import Overfitting
from regmix_bench.records.schema import (
    CHECKS,
    AnyRecord,
    CorruptionRecord,
    Epoch,
    EvalRecord,
    Images,
    RobustEval,
    RunRecord,
    Score,
    Share,
    UnionScore,
    parts_of,
)
from regmix_bench.records.schema.quantities import Count
from regmix_bench.records.unions import read_score, require_unions
from regmix_bench.specs import CorruptionSpec, EvalSpec, RunSpec
from regmix_bench.system.files import file_digest, held_below, write_together
from regmix_bench.types import Checkpoint, Frozen, ThreatModel

#: What is accepted by name: all that a score may have raised, and overfitting that is new.
ALLOWABLE: tuple[str, ...] = (*CHECKS, "catastrophic-overfitting")
METRICS = ("clean_acc", "pgd_acc", "autoattack_acc")
#: A record and its file.
Found = tuple[Path, RunRecord | EvalRecord]
#: The images (N,) that are right on one side and on the other.
Pair = tuple[NDArray[np.bool_], NDArray[np.bool_]]


class OutcomesFile(Frozen):
    """Per-image outcomes: path relative to the leaderboard's folder, and SHA-256."""

    file: str
    sha256: str


class Reference(Frozen):
    """One run to be held: the record's own fields, for the checkpoints that AutoAttack scored.

    ``onset`` is the epoch at which its training began to overfit catastrophically, None where it
    never did, or where the references are older than this field.
    """

    record: str
    run_id: str
    spec: RunSpec | EvalSpec
    data_digest: str | None
    evaluations: tuple[RobustEval, ...] = Field(min_length=1)
    unions: tuple[UnionScore, ...] = ()
    outcomes: dict[Checkpoint, OutcomesFile] = {}
    onset: Epoch | None = None

    @property
    def scores(self) -> tuple[Score, ...]:
        """All evaluations, and then the unions of their threats."""
        return *self.evaluations, *self.unions

    @model_validator(mode="after")
    def _unions_are_of_its_scores(self) -> Self:
        if any(len(parts_of(u, self.evaluations)) < len(u.threats) for u in self.unions):
            raise ValueError("a union is of threats that are not among its evaluations")
        return self


class CorruptionReference(Frozen):
    """One model's test on corrupted images to be held: its mean over all corruptions.

    ``training_seed`` and ``train_threat`` are those of the run whose weights it is of, None of
    other models and where that run was not recorded beside it.
    """

    record: str
    run_id: str
    spec: CorruptionSpec
    training_seed: Count | None = None
    train_threat: ThreatModel | None = None
    data_digest: str
    n_examples: Images
    clean_acc: Share
    corruption_acc: Share
    outcomes: OutcomesFile | None = None


class Leaderboard(Frozen):
    """The references, as ``leaderboard.json`` holds them, and the checks a score may raise."""

    schema_version: int = LEADERBOARD.version
    allowed: tuple[str, ...] = ()
    runs: tuple[Reference, ...] = ()
    corruptions: tuple[CorruptionReference, ...] = ()

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not (self.runs or self.corruptions):
            raise ValueError("holds no reference, neither of a run nor of corruptions")
        return self


def load_leaderboard(path: Path) -> Leaderboard:
    """Read the references; raises :class:`UserError` where they are missing, broken or newer."""
    if not path.exists():
        raise UserError(f"no references at {path}: `regmix-bench check --update` makes them")
    board = LEADERBOARD.parse(LEADERBOARD.load(path), Leaderboard, path)
    every: list[Reference | CorruptionReference] = [*board.runs, *board.corruptions]
    for held in every:
        if held.run_id != held.spec.run_id:
            raise UserError(f"{path}: run_id {held.run_id!r} is not that of its specification")
    for entry in board.runs:
        if any(score.autoattack_acc is None for score in entry.scores):
            raise UserError(f"{path}: a reference of {entry.record} has no autoattack_acc")
    # As records are, which they are matched with.
    runs = tuple(entry.model_copy(update={"spec": relabelled(entry.spec)}) for entry in board.runs)
    return board.model_copy(update={"runs": runs})


def renew_references(
    results: Path,
    reference: Path,
    allow: Collection[str] = (),
    beside: Mapping[Path, bytes] = MappingProxyType({}),
) -> Leaderboard:
    """Make the successful, AutoAttack-scored records below ``results`` the references.

    With them go those of models under common corruptions, which may be all. They and ``allow``
    replace all that ``reference`` held, atomically; files ``beside`` them are written with them,
    all or none. Raises :class:`UserError`, with nothing written, where there is no such record, or
    an outcomes file or a union disagrees with its record.
    """
    runs, corruptions = [], []
    records = store.load_records(results)
    trained = trained_specs(records.values())
    for path, record in records.items():
        if isinstance(record, CorruptionRecord):
            run = trained.get(record.spec.model.run_id)
            corruptions.append(_corruption_reference(path, record, run, results, reference.parent))
        if not isinstance(record, RunRecord | EvalRecord):
            continue
        scored = tuple(e for e in record.evaluations if e.autoattack_acc is not None)
        if record.status != "success" or not scored:
            continue
        require_unions(path, record)
        outcomes = {}
        for evaluation in scored:
            if file := recorded_outcomes(path, evaluation):
                read_images(file, evaluation)
                outcomes[evaluation.checkpoint] = _outcomes_file(file, reference.parent)
        runs.append(
            Reference(
                record=path.relative_to(results).as_posix(),
                run_id=record.run_id,
                spec=record.spec,
                data_digest=record.data_digest,
                evaluations=scored,
                unions=tuple(u for u in record.unions if u.autoattack_acc is not None),
                outcomes=outcomes,
                onset=onset_of(record),
            )
        )
    if not (runs or corruptions):
        raise UserError(
            f"no record with AutoAttack, or of corruptions, below {results}: `regmix-bench run` and"
            " `eval` make them"
        )
    board = Leaderboard(
        allowed=tuple(sorted(set(allow))), runs=tuple(runs), corruptions=tuple(corruptions)
    )
    write_together({reference: store.json_bytes(board.model_dump(mode="json")), **beside})
    return board


def trained_specs(records: Iterable[AnyRecord]) -> dict[str | None, RunSpec]:
    """Return the specifications of the runs among ``records``, by run_id."""
    return {record.run_id: record.spec for record in records if isinstance(record, RunRecord)}


def _corruption_reference(
    path: Path, record: CorruptionRecord, run: RunSpec | None, results: Path, folder: Path
) -> CorruptionReference:
    if record.outcomes_digest is not None:
        read_image_means(path, record)
    return CorruptionReference(
        record=path.relative_to(results).as_posix(),
        run_id=record.run_id,
        spec=record.spec,
        training_seed=None if run is None else run.seed,
        train_threat=None if run is None else run.train_threat,
        data_digest=record.data_digest,
        n_examples=record.n_examples,
        clean_acc=record.clean_acc,
        corruption_acc=record.mean_accuracy,
        outcomes=(
            None
            if record.outcomes_digest is None
            else _outcomes_file(paths.own_outcomes_path(path), folder)
        ),
    )


def _outcomes_file(file: Path, folder: Path) -> OutcomesFile:
    relative = Path(os.path.relpath(file, folder)).as_posix()
    return OutcomesFile(file=relative, sha256=file_digest(file))


def onset_of(record: RunRecord | EvalRecord) -> int | None:
    """Return the epoch at which a training began to overfit catastrophically, if it did."""
    if isinstance(record, EvalRecord):
        return None
    found = Overfitting.of(record.history, record.n_validation)
    return found.onset if found else None


def pair_outcomes(
    entry: Reference, old: Score, folder: Path, new: Score, record: Found
) -> tuple[dict[str, Pair] | None, str]:
    """Return for each metric which images were right and which are now, in the same order.

    ``folder`` is the leaderboard's, ``record`` the one that holds ``new``. Returns None, and the
    reason, where a side has no outcomes or they are of different images; a reference's that lie
    neither with the references nor with the results are not opened. Raises :class:`UserError` where
    a file is not the one that was recorded; a reference that this very run has replaced has none.
    """
    path, evaluations = record[0], record[1].evaluations
    now_file = recorded_outcomes(path, parts_of(new, evaluations)[0])
    if now_file is None:
        return None, f"{path.name} names no outcomes"
    now = read_score(now_file, new, evaluations)
    was_file, why = reference_file(entry.outcomes.get(old.checkpoint), folder, now_file)
    if was_file is None:
        return None, why
    same = was_file.samefile(now_file)
    # Most references are the very records that they are compared with.
    was = now if same and old == new else read_score(was_file, old, entry.evaluations)
    if not np.array_equal(was.index, now.index):
        return None, "the outcomes are of different images"
    return {name: (was.right[name], now.right[name]) for name in now.right}, ""


def reference_file(
    stored: OutcomesFile | None, folder: Path, now_file: Path
) -> tuple[Path | None, str]:
    """Return the outcomes that references in ``folder`` name, or None and why there are none.

    ``now_file`` are those that they are compared with. Raises :class:`UserError` where the file is
    not the one that was recorded; one that this very run has replaced is none.
    """
    if stored is None:
        return None, "the reference's outcomes are not there"
    was_file = _within(stored.file, folder, paths.results_of(now_file))
    if was_file is None:
        return None, f"the reference's outcomes lie outside of {folder}"
    if not was_file.is_file():
        return None, "the reference's outcomes are not there"
    if file_digest(was_file) != stored.sha256:
        if was_file.samefile(now_file):
            return None, "this run has replaced the reference's outcomes"
        raise UserError(f"{was_file} is not the file the references name: its SHA-256 differs")
    return was_file, ""


def _within(file: str, folder: Path, results: Path) -> Path | None:
    """The outcomes that references in ``folder`` name, where they lie in it or in ``results``."""
    for root in (folder, results):
        with contextlib.suppress(UserError):
            return held_below(root, Path(os.path.relpath(folder / file, root)).as_posix())
    return None


def corruption_differences(entry: CorruptionReference, record: CorruptionRecord) -> list[str]:
    """List how two tests on corrupted images differ, but for the weights that are tested."""
    was, now = (
        {
            **_flat(side.spec.model_dump(mode="json", exclude={"label", "model"})),
            **{"data_digest": side.data_digest, "n_examples": side.n_examples},
        }
        for side in (entry, record)
    )
    return _differences(was, now)


def setting_differences(entry: Reference, record: RunRecord | EvalRecord) -> list[str]:
    """List how the making of two models differs, as ``recipe.epochs 50 → 5``."""
    if entry.run_id == record.run_id and entry.data_digest == record.data_digest:
        return []  # without writing down both specifications, of which there may be thousands
    return _differences(
        _settings(entry.spec, entry.data_digest), _settings(record.spec, record.data_digest)
    )


def scoring_differences(old: RobustEval, new: RobustEval) -> list[str]:
    """List how the measuring of two accuracies differs."""
    names = ("n_examples", "autoattack_version", "autoattack_seed", "autoattack_batch_size")
    was, now = (
        {name: getattr(side, name) for name in (*names, "substitutions")} for side in (old, new)
    )
    return _differences(was, now)


def _settings(spec: RunSpec | EvalSpec, data_digest: str | None) -> dict[str, object]:
    content = spec.model_dump(mode="json", exclude={"label": True, "method": {"label"}})
    # As the identity has them, budgets are equal by value; it lacks what older runs had as well.
    settings = _flat(content) | _flat(spec.identity())
    if isinstance(spec, RunSpec):
        settings |= _flat({"method": {"params": all_params(spec.method)}})
    # These stay objects: equal by value in whichever order they were typed, and shown as typed.
    threats = {
        name: tuple(sorted(getattr(spec, name), key=attrgetter("norm", "epsilon")))
        for name in ("eval_threats", "pgd_threats")
    }
    return settings | threats | {"data_digest": data_digest}


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _differences(was: dict[str, object], now: dict[str, object]) -> list[str]:
    return [
        f"{key} {_show(was.get(key))} → {_show(now.get(key))}"
        for key in was | now
        if was.get(key) != now.get(key)
    ]


def _show(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_show, value)) or "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)[:200]
