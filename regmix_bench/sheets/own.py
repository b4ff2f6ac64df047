"""The sheet of recorded runs, from what their records say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from regmix_bench.analysis.blocks import Block, Row, blocks_of
from regmix_bench.analysis.cohorts import Cohort, Group, Run, sort_into_cohorts
from regmix_bench.analysis.tricks import Axis
from regmix_bench.analysis.words import threat_words
from regmix_bench.errors import UserError
from regmix_bench.methods import declared
from regmix_bench.methods.configured import all_params
from regmix_bench.records.accuracies import robust_metric
from regmix_bench.records.checkpoints import weights_of
from regmix_bench.records.overfitting import Overfitting
from regmix_bench.records.schema import RobustEval
from regmix_bench.records.tricks import trained_with
from regmix_bench.sheets.measuring import AUTOATTACK, CLEAN
from regmix_bench.sheets.notes import with_notes
from regmix_bench.sheets.reader import SHARED, make_sheet
from regmix_bench.sheets.sheet import NO_EXTRA_DATA, Sheet
from regmix_bench.specs import MethodSpec, RunSpec
from regmix_bench.specs.tricks import Tricks, without_tricks

PGD = "pgd-20"
#: What the name of a table ends with whose rows have the tricks of their methods' authors.
AS_AUTHORS = "-as-authors"
_NONE = "none"

#: In what rows of such a table may differ.
_TRICKS: tuple[Axis, ...] = ("tricks",)

#: What is written with a row, though all rows may have the same.
_OF_A_ROW = ("method", "numbers", "runs")


def study_content(
    results: Path, runs: Sequence[Run], *, whole: bool = True
) -> dict[str, Any] | None:
    """Return the sheet of runs recorded in ``results``, as a file would hold it, notes included.

    Methods that were left their authors' tricks stand in one table (:data:`AS_AUTHORS`) where these
    differ, as rules then tell. Of the other runs each cohort has a table, of the checkpoint and the
    threat that stand for it; None where no run is scored. Raises :class:`UserError` where there are
    notes that cannot be read, or of a table or a row that there is not; where the runs are not the
    ``whole`` of the folder such notes are left out.
    """
    left = [run for run in runs if run.spec.recipe == without_tricks(run.spec.recipe)]
    together = {
        cohort.stem + AS_AUTHORS: cohort
        for cohort in sort_into_cohorts(left, _TRICKS)
        if len({group.tricks for group in cohort.groups}) > 1
    }
    taken = {run.path for cohort in together.values() for run in _runs(cohort)}
    rest = [run for run in runs if run.path not in taken]
    cohorts = {cohort.stem: cohort for cohort in sort_into_cohorts(rest)} | together
    homes = {name: _home(cohort) for name, cohort in cohorts.items()}
    tables = {name: _table(block) for name, block in homes.items() if block is not None}
    if not tables:
        return None
    content = {"title": f"Runs recorded in {results.name or results}", "tables": tables}
    return with_notes(content, results, whole=whole)


def study_sheet(results: Path, runs: Sequence[Run], *, whole: bool = True) -> Sheet:
    """Return the sheet of :func:`study_content`; raises as that does, and where there is none."""
    content = study_content(results, runs, whole=whole)
    if content is None:
        which = "run" if whole else "run that --suite plans"
        raise UserError(f"no {which} is scored in {results}, and a sheet speaks of those alone")
    return make_sheet(content)


def metrics(spec: RunSpec) -> dict[str, str]:
    """Return the accuracies of a run as a sheet names them, and as its record does."""
    return {CLEAN: "clean_acc", PGD: "pgd_acc", AUTOATTACK: robust_metric(spec.scoring)}


def _runs(cohort: Cohort) -> Iterator[Run]:
    yield from cohort.failures
    for group in cohort.groups:
        yield from group.runs


def _home(cohort: Cohort) -> Block | None:
    """The block that stands for a cohort: of its own threat and, if there is one, of selection."""
    blocks = [b for b in blocks_of(cohort) if b.eval_threat == cohort.train_threat and b.rows]
    blocks.sort(key=lambda block: block.checkpoint != "selected")
    return blocks[0] if blocks else None


def _table(block: Block) -> dict[str, Any]:
    setting = block.cohort.setting
    failures = defaultdict(list)
    for run in block.cohort.failures:
        failures[run.spec.group_id].append(run)
    rows = [_row(row, block, failures[row.group.spec.group_id]) for row in block.rows]
    return {
        "title": f"{setting.words}, {threat_words(block.eval_threat)}",
        "ranked_by": AUTOATTACK,
        "overfitting_shown": True,  # in a column of each table, and in its curves
        **_folded(rows),
    }


def _row(row: Row, block: Block, failed: Iterable[Run]) -> dict[str, Any]:
    spec, (run, score) = row.group.spec, row.evaluations[0]
    record = run.record
    tricks = _tricks(run)
    at = block.cohort.train_threat
    threat = {"norm": at.norm, "epsilon": str(at.epsilon)}
    found: dict[str, Any] = {
        "method": row.label,
        "architecture": spec.arch_words,
        "dataset": spec.dataset_words,
        "train_images": record.n_train,
        "labelled_images": record.labels and record.labels.labelled,
        "extra_data": spec.extra or NO_EXTRA_DATA,
        "threat": threat,
        "recipe": _recipe(run),
        "tricks": tricks,
        "weights": {
            "kind": weights_of(record, block.checkpoint),
            "epoch": "last" if block.checkpoint.endswith("last") else "selected",
        },
        "selection": {
            "rule": spec.recipe.selection,
            "images": record.n_validation,
            "images_from": "training",
            "trained_on": False,
        },
        "measurement": _measurement(spec, row, score),
        "hyperparameters": _unlike_authors(spec.method),
        "overfitting": _overfitting(row.group),
        "numbers": _claims(row),
        "runs": [_counted(run, score) for run, score in row.evaluations]
        + [_failed(r) for r in failed],
    }
    return {key: value for key, value in found.items() if value not in (None, {})}


def _recipe(run: Run) -> dict[str, Any]:
    recipe, history = run.spec.recipe, run.record.history
    return {
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "optimizer": recipe.optimizer + (", nesterov" if recipe.nesterov else ""),
        "lr": recipe.lr,
        "last_lr": history[-1].lr if history else None,
        "momentum": "one cycle" if recipe.cycle_momentum else recipe.momentum,
        "weight_decay": recipe.weight_decay,
        "schedule": recipe.schedule + (" by epoch" if recipe.schedule_step == "epoch" else ""),
        "augmentation": recipe.augmentation,
        "precision": recipe.precision,
    }


def _tricks(run: Run) -> dict[str, Any]:
    tricks, method = trained_with(run.record), declared(run.spec.method.name)
    mass = tricks.true_class_mass
    attacked = mass if method is not None and "attack" in method.smoothed else 1.0
    return {
        "true_class_mass": mass,
        "attack_mass": None if method is None else attacked,  # only its class could say
        "ema_decay": _average(tricks),
        "awp_gamma": _awp(tricks),
        "gradient_clip": tricks.gradient_clip or _NONE,
    }


def _average(tricks: Tricks) -> float | str:
    if tricks.average is None:
        return _NONE
    if isinstance(tricks.average, str):
        return f"that of {tricks.average}"
    start = f" from epoch {tricks.average_start}" if tricks.average_start > 1 else ""
    live = " of weights alone" if tricks.average_buffers == "live" else ""
    return f"{tricks.average:g}{start}{live}" if start or live else tricks.average


def _awp(tricks: Tricks) -> float | str:
    if tricks.awp_gamma is None:
        return _NONE
    if tricks.awp_warmup:
        return f"{tricks.awp_gamma:g} after {tricks.awp_warmup} epochs"
    return tricks.awp_gamma


def _measurement(spec: RunSpec, row: Row, score: RobustEval) -> dict[str, Any]:
    version = " + ".join(spec.scoring.attacks) or spec.scoring.autoattack_version
    packages = {run.record.environment.get("pyautoattack") for run, _ in row.scores}
    named = ", ".join(sorted(f"pyautoattack {each}" for each in packages if each is not None))
    return {
        "images": score.n_examples,
        "test_images": row.scores[0][0].record.n_test if spec.eval_examples is None else None,
        "autoattack": f"{version} on what PGD-20 left" if spec.scoring.screen else version,
        "package": named or None,
        "seed": spec.scoring.autoattack_seed,
        "batch_size": spec.scoring.autoattack_batch_size,
        "precision": spec.scoring.search_precision,
    }


def _unlike_authors(method: MethodSpec) -> dict[str, Any]:
    """The numbers among a method's parameters that are not its defaults, its authors' values."""
    found = declared(method.name)
    if found is None:
        return {}
    given, authors = all_params(method), found.Config().model_dump(mode="json")
    return {
        name: {"value": value, "authors": authors[name]}
        for name, value in given.items()
        if _is_number(value) and _is_number(authors.get(name)) and value != authors[name]
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _overfitting(group: Group) -> dict[str, int] | None:
    """How many runs overfitted catastrophically, and the epoch by which the last of them did."""
    found = (Overfitting.of(run.record.history, run.record.n_validation) for run in group.runs)
    onsets = [each.onset for each in found if each is not None and each.onset is not None]
    return {"runs": len(onsets), "by": max(onsets)} if onsets else None


def _claims(row: Row) -> dict[str, Any]:
    found = {}
    for name, metric in metrics(row.group.spec).items():
        if (stat := row.metrics.get(metric)) is None:
            continue
        claim: dict[str, Any] = {"mean": _percent(stat.mean)}
        if stat.std is not None:
            claim["deviation"] = _percent(stat.std)
        if stat.low is not None and stat.high is not None:
            claim["interval"] = [_percent(stat.low), _percent(stat.high)]
        found[name] = claim
    return found


def _counted(run: Run, score: RobustEval) -> dict[str, Any]:
    found: dict[str, Any] = {
        "seed": run.spec.seed,
        "numbers": _numbers(run, score),
        "selected_epoch": run.record.selected_epoch,
        "warnings": list(score.checks),
        "record": run.record.run_id,
    }
    return {key: value for key, value in found.items() if value not in (None, [])}


def _failed(run: Run) -> dict[str, Any]:
    reason = (run.record.error or "it failed").partition("\n")[0][:200]
    return {
        "seed": run.spec.seed,
        "counted": False,
        "why_left_out": reason,
        "record": run.record.run_id,
    }


def _numbers(run: Run, score: RobustEval) -> dict[str, float]:
    shares = {name: getattr(score, metric) for name, metric in metrics(run.spec).items()}
    return {name: _percent(share) for name, share in shares.items() if share is not None}


def _percent(share: float) -> float:
    return round(100 * share, 4)


def _folded(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return rows with what all of them share written once; :func:`make_sheet` unfolds it."""
    shared = _common([{k: v for k, v in row.items() if k not in _OF_A_ROW} for row in rows])
    return {SHARED: shared, "rows": [_without(row, shared) for row in rows]}


def _common(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in parts[0]:
        values = [part.get(key) for part in parts]
        if all(isinstance(value, dict) for value in values):
            if inner := _common(values):  # type: ignore[arg-type]
                found[key] = inner
        elif all(value == values[0] for value in values):
            found[key] = values[0]
    return found


def _without(part: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in part.items():
        if key not in shared:
            found[key] = value
        elif isinstance(value, dict) and (inner := _without(value, shared[key])):
            found[key] = inner
    return found
