"""Studies whose trials are not trained: a function of their values stands for the accuracy."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regmix_bench.methods.configured import method_spec
from regmix_bench.records.schema import Budget, Cost, EpochLog, StudyRecord
from regmix_bench.records.studies import save_study, tuning_folder
from regmix_bench.tuning.journal import StudyJournal
from regmix_bench.tuning.space import Space
from regmix_bench.tuning.studies import Study
from regmix_bench.tuning.trial import Trial, TrialRecord
from support.synthetic import make_spec

#: An accuracy, 0 to 1, by the values of a trial.
Planted = Callable[[Mapping[str, float]], float]


def make_study(
    folder: Path,
    *,
    method: str = "fgsm-pgi",
    held: tuple[str, ...] = ("reset",),
    include: tuple[str, ...] = (),
    params: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    **changes: Any,
) -> Study:
    """Open a study in ``folder``, of eight trials if nothing else is said."""
    spec = make_spec(method=method_spec(method, params or {}), seed=seed)
    space = Space.of(spec, held, include)
    blank = StudyRecord(
        **{
            "name": folder.name,
            "study_id": "",
            "spec": spec,
            "data_digest": "d" * 64,
            "n_validation": 100,
            "objective": "pgd-10",
            "space": dict(space.ranges),
            "budget": budget or Budget(equal="trials", amount=8),
            **changes,
        }
    )
    study = Study(StudyJournal(folder), space, blank)
    study.require_same()
    study.open()
    return study


def ended(trial: Trial, value: float | None = None, **changes: Any) -> TrialRecord:
    """Return what comes of a trial that had two epochs of ``value``."""
    accuracy = value or 0.0
    log = {"lr": 0.1, "loss": 1.0, "val_clean_acc": accuracy, "val_fgsm_acc": accuracy}
    history = [EpochLog(epoch=e, val_pgd_acc=accuracy, seconds=1, **log) for e in (1, 2)]
    fields: dict[str, Any] = {
        "run_id": trial.run_id,
        "status": "success",
        "spec": trial.spec,
        "history": history,
        "training_cost": Cost(seconds=2, forward_images=600, backward_images=400),
        "number": trial.number,
        "value": value,
        "seconds": 3.0,
    }
    return TrialRecord(**fields | changes)


def values_of(study: Study, trial: Trial) -> dict[str, float]:
    """Return the values of a trial, as its study keeps them."""
    return dict(study.record().trials[trial.number].values)


def work_off(study: Study, planted: Planted) -> StudyRecord:
    """Do all trials of a study."""
    while (trial := study.claim()) is not None:
        study.tell(trial.number, ended(trial, planted(values_of(study, trial))), None)
    return study.record()


def write_studies(results: Path, name: str = "planted", trials: int = 24) -> list[StudyRecord]:
    """Save the studies of three methods below ``results``, as `tune` leaves them."""
    folder = tuning_folder(results, name)
    peaks = {"fgsm-pgi": ("lambda_", 5.0), "regmix": ("beta", 2.0), "trades": ("beta", 9.0)}
    budget = Budget(equal="trials", amount=trials)
    found = []
    for method, (parameter, best) in peaks.items():
        study = make_study(folder, method=method, held=(), budget=budget)

        def planted(
            values: Mapping[str, float], key: str = f"{method}.{parameter}", best: float = best
        ) -> float:
            distance = math.log(values[key] / best)
            return 0.6 * math.exp(-(distance**2) / 4) + 0.05 * math.sin(1e4 * distance) ** 2

        found.append(work_off(study, planted))
        save_study(folder, found[-1])
    return found
